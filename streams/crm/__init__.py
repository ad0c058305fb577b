"""The CRMs, one folder each, and what all of them need.

kind.py       the contract: what the rest of the product knows of a CRM, as data; imports nothing of settings
registry.py   the CRMs of this installation: built-in ones, and the entry points `cel2crm.crms` of other packages
shared/       the contract's moving parts (plan, client, token vendor), and helpers for clients
<name>/       a built-in CRM: kind, adapter, plan, steps, client, status table, tokens

How to add a CRM: CONTRIBUTING.md.
"""
