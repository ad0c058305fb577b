"""Kommo (amoCRM).

kind.py      for the registry: names, rate, statuses, what its portals may set
kommo.yaml   the table of statuses
adapter.py   for the worker: plan, client, token vendor
plan.py      the steps of a delivery
options.py   its own settings of a portal
steps.py     a call as the fields of requests; pure
answers.py   answers, by what they prove; pure
revision.py  a later version of a call, in its note or beside it
account.py   HTTP: requests, and lists searched page by page
recording.py a recording as the call's link
tasks.py     tasks for missed calls
lookups.py   what a request of unknown outcome made
client.py    the steps sent
tokens.py    OAuth
check.py     will an account take calls; questions only
probe.py     what only an account can tell, tried with test calls
probe_account.py  what those make there, and what can be removed
"""
