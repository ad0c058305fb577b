"""MariaDB as a source.

checks.py            a server that would lose rows is refused
history.py           is it the same server and binlog?
binlog_progress.py   how far the connector has come
source.yaml, capture_user.sql
"""
