"""PostgreSQL as a source.

checks.py           a server, publication or slot with which rows would be lost is refused
history.py          is it the same server, and does its slot still hold what was not read?
slot_progress.py    how far the connector has come
slot_space.py       the WAL that the slot keeps on the server's disk
failures.py         what its connector fails with
engine.py           all of it, as connectors/engines.py has it
connection.py       a connection that cannot write
source.yaml, capture_user.sql
"""
