"""Kommo (amoCRM).

kind.py      for the registry: names, rate, statuses, what its portals may set
kommo.yaml   the table of statuses
adapter.py   for the worker: plan, client, token vendor
plan.py      the steps of a delivery
steps.py     a call as the fields of requests, and answers by what they prove; pure
revision.py  a later version of a call, in its note or beside it
recording.py a recording as the call's link
client.py    HTTP
tokens.py    OAuth
"""
