"""MySQL 8 and newer as a source: what differs from MariaDB (../mariadb), whose comparison and progress are used.

checks.py    a server that would lose rows, or could not be backfilled, is refused
binlog.py    what it is asked in other words
engine.py    all of it, as connectors/engines.py has it
source.yaml, capture_user.sql
"""
