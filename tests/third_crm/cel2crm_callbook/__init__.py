"""Callbook for cel2crm.

kind.py        for the registry: names, rate, statuses, what its portals may set
callbook.yaml  the table of statuses
adapter.py     for the worker: plan and client
plan.py        the steps of a delivery
steps.py       a call as the fields of a request, and answers by what they prove; pure
client.py      HTTP
"""
