"""The aggregate worker. A row's way: decoded, folded into its call; a call that ended is judged and sent.

worker.py              the worker: rows in; results, legs and dead letters out; the timer
take_over.py           a partition's state restored on Kafka when it is assigned
stored_rows.py         rows that stand on the topic, read apart from the group
assigned_partition.py  a partition while it is assigned: sending, and its checkpoints every few seconds
holes.py               rows that do not come: expired ones are told, those passed over end the process
settling_calls.py      when to look at calls after their LINKEDID_END

remembered_calls.py    pure: the calls of a partition, when they end, which rows are too late (rules 1 to 5)
open_calls.py          pure: those that have not ended, in the order in which they end by time
deadlines.py           pure: keys by the time at which each is due
partition_state.py     pure: their checkpoints (rules 6 to 9)
restore.py             pure: the state rebuilt from checkpoint and rows by a new owner (rule 10)
lost_rows.py           pure: until when rows were lost on the topic
steps.py               pure: what a row did, and the steps that restore and checkpoint ask their driver for
tracked_call.py        pure: a call that is remembered; sealed once it ended (streams/calls/snapshot.py)
marker.py              pure: how far the checkpoints reach, in the metadata of the group's commits
unreadable_rows.py     pure: the brake, when so many rows are unreadable that their source is at fault

outgoing_records.py    results, legs and dead letters as records
record_decoder.py      a record of the cel topic as a row
call_warnings.py       warnings of results that an operator can mend
metrics.py             Prometheus metrics
"""
