"""From a call's CEL rows to its result and legs. Pure: no I/O, no clock; the same rows and rules give the same bytes.

In the order in which a call goes through:

* `call.py`: the rows of one linkedid, in any order, and whether the call has ended.
* `fold.py`: the rows, in the order of their ids, folded into `facts.py`. `events.py` groups Asterisk's event types and
  applications by what they mean, `bridges.py` says who is joined with whom, `timeline.py` turns the PBX's wall clock
  into UTC, `transfers.py` reads transfers and pickups, `dialstring.py` the arguments of Dial(), `channel_name.py` the
  names of channels.
* `sides.py`: on which side of the PBX each channel's party is, by `pbx_profile.py` (what the settings say of the PBX).
* Questions to the facts, a file each: `direction.py` (who called whom), `hangup.py` (cause and dial status),
  `answered.py`, `participants.py` (who talked, which extension), `durations.py`, `linked_calls.py`, `legs.py`.
* `classify.py`: all answers together, and the result by the tables of `streams/rules`; `result.py` is the record.
* `missing_rows.py`: whether a call lacks rows that were lost, and what its next row changes of that; `snapshot.py`: a
  call as the aggregate worker keeps it in its checkpoints.
* `differences.py`: whether two results of a call differ to a reader; `rules_in_force.py`: what a worker says of its
  rules.
* `offline.py`: the same for rows of a file or a table that are read once.
"""
