"""The CRMs, one folder each, and what all of them need.

kind.py            the contract: what the rest of the product knows of a CRM, as data; imports nothing of settings
registry.py        the CRMs of this installation: built-in ones, and the entry points `cel2crm.crms` of other packages
adapter.py         the contract's moving parts: plan, client, token vendor; how a worker gets them
client.py          what a delivery worker asks of a CRM's client
<name>/            a built-in CRM: kind, adapter, plan, steps, client, status table, tokens
call_fields.py     a call in the terms that CRMs share: id, person, phone number, seconds of talk
transport_answers.py   what a request proves that no complete answer came to
correction_note.py     the words of a note about a later version of a call
shadow.py          what a portal would get, were it not a shadow
tokens.py          access tokens, and where a client gets them from
token_vendor.py    a vendor's token endpoint (OAuth)

How to add a CRM: CONTRIBUTING.md.
"""
