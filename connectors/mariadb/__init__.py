"""MariaDB as a source: checks.py, history.py (is it the same server and binlog?), source.yaml, capture_user.sql."""
