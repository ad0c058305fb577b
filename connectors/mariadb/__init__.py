"""MariaDB as a source: checks.py, source.yaml (the connector's configuration), capture_user.sql (its database user)."""
