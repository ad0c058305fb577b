"""Parts that all CRMs share: the contract's moving parts, and helpers for clients.

adapter.py             a CRM's plan, client and token vendor, and how a worker gets them
client.py              what a delivery worker asks of a CRM's client
call_fields.py         a call in the terms that CRMs share: id, person, phone number, seconds of talk
route.py               where a call belongs by the settings alone: the route's line, working hours
transport_answers.py   what a request proves that no complete answer came to
check.py               the check of a portal before calls go there
recording.py           a call's recording, as a follow-up
tasks.py               tasks for missed calls: which calls, the marker, what stands in one
task_steps.py          their steps, the same at every CRM
probe.py               the probe of a trial portal: what only a portal can tell
probe_calls.py         the test calls of a probe
correction_note.py     the words of a note about a later version of a call
shadow.py              what a portal would get, were it not a shadow
tokens.py              access tokens, and where a client gets them from
token_vendor.py        a vendor's token endpoint (OAuth)
"""
