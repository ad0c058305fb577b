"""Any receiver of Standard Webhooks.

kind.py      for the registry: names, rate, what its portals may set
adapter.py   for the worker: plan and client
plan.py      the one step of a delivery
steps.py     a call as the body of a request, and answers by what they prove; pure
secrets.py   the secrets that sign
recording.py  a recording as an event of its own
client.py    HTTP
check.py     will a receiver take calls; no event is sent
"""
