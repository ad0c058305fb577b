"""Sinks: databases and lakes for analysts, which Kafka Connect fills; the settings' `sinks`.

connected.py    a sink's connectors, and how many records each has still to take
apply.py        `connectors apply --sink`: check, apply, wait until records are taken
report.py       `connectors status` of sinks
watch.py        `connectors watch` of sinks: restart what failed
failures.py     what the sink fails with, as one line for a person
shared.py       names, the converter of records, an operator's properties
kinds.py        what each kind of sink does in its own way

jdbc/           PostgreSQL and MariaDB: tables and views, checks of the database, configuration of Debezium's JDBC sink
iceberg/        lakes: checks of the catalog, configuration of Iceberg's sink
"""
