"""Bitrix24.

kind.py      for the registry: names, rate, statuses, what its portals may set
bitrix24.yaml  the table of statuses
missed_is_304.yaml  lines of the preset of this name
adapter.py   for the worker: plan, client, token vendor
plan.py      the steps of a delivery
options.py   the settings that only Bitrix24 knows
steps.py     a call as the fields of requests; pure
failed_reason.py  the words for why a call failed
answers.py   answers to register and finish by what they prove; pure
errors.py    the portal's errors; pure
batch.py     two steps in one request, when many calls wait
lookup.py    a finished call looked for in the statistics, and whether they show all calls
recording.py a recording at a finished call
tasks.py     tasks for missed calls, as universal activities
comment.py   a later version of a call, as a comment
limits.py    the seconds of work that each method may take
lines.py     the settings' lines, registered and named in the portal
client.py    HTTP
check.py     questions that leave no trace: authorisation, scopes, rights, users, limits
probe.py     what only a portal can tell, tried with test calls
probe_calls.py  those calls
probe_traces.py what they left in the CRM, removed
probe_servers.py  which authorisation server serves the portal
tokens.py    OAuth
"""
