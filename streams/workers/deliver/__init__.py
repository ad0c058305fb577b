"""The delivery worker: call results and operators' commands in, requests to one CRM's portals out.

worker          the worker in its consumer group: start, partitions, commits
taking          records of a batch taken into their partitions
intake          a record as an event; where an unreadable one goes
partition       one partition's deliveries: results, commands and due calls
owned_partitions  those that the group gave to this process
states          their states: open ones in memory, an index of the completed ones, every change in the log
attempt         one request or lookup, between two durable states
portal_queue    a portal's calls, started as their turn comes
due_calls       whose turn it is
followed        what follows calls: what each asks for, and the local steps
preparations    local steps of what follows calls, beside the queues
throttle        a portal's rate limit, circuit breaker and pause
batched_log     states written to the delivery log, many in one transaction
completed       the index of completed deliveries
finished_calls  its table: some bytes a call
losses          results that are gone before they were taken
restore         states rebuilt from the log by a new owner
progress        the offsets that may be committed
portal_state    durable state of the portals themselves: served since, disabled
tokens          the OAuth tokens of the portals
clients         the clients of the portals
metrics         what Prometheus sees
"""
