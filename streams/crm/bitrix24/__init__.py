"""Bitrix24.

kind.py      for the registry: names, rate, statuses, what its portals may set
bitrix24.yaml  the table of statuses
adapter.py   for the worker: plan, client, token vendor
plan.py      the steps of a delivery
steps.py     a call as the fields of requests, and answers by what they prove; pure
batch.py     two steps in one request, when many calls wait
recording.py a recording at a finished call
comment.py   a later version of a call, as a comment
client.py    HTTP
tokens.py    OAuth
"""
