"""MariaDB as a source.

checks.py            a server that would lose rows is refused
binlog.py            what the server is asked about its binlog
history.py           is it the same server and binlog?
continuity.py        does the capture go on where it stood?
schema_history.py    where Debezium began without a position
engine.py            all of it, as connectors/engines.py has it
binlog_progress.py   how far the connector has come
source.yaml, capture_user.sql
"""
