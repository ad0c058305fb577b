"""Capture: the Debezium source in Kafka Connect, and the topics that it needs.

topics.py           every topic of the product, made from topics.yaml
source.py           the connector's configuration, made from <engine>/source.yaml
client.py           Kafka Connect's REST interface
failures.py         Java stack traces as one line for a person
heartbeat.py        Debezium's sign of life
apply.py            `connectors apply`: check, apply, wait until it works (progress.py)
watch.py            `connectors watch`: restart failed parts, unless rows are missing
start_afresh.py     `connectors start-afresh`: the way on where rows are missing
report.py           `connectors status`

guard.py            whether capture may go on; holds it where rows may be missing
engines.py          the databases that can be captured; what each does in its own way
assessment.py       the outcome of the comparison behind it: memory against database, position and topics
capture_state.py    the memory, a record a PBX on the topic capture-state
captured_rows.py    the last row on the cel topic

gap_watch.py        when `watch` looks for gaps, and how it says what it found (streams/gaps finds them)
gap_memory.py       the memory of what was found, a record a PBX on the topic capture-state
capture_marks.py    the marks of `watch`: everything committed by then is on the topic
capture_progress.py how far the connector has come: what the second look for gaps waits for
stored_position.py  the part of it that Connect alone tells

sinks/              calls in SQL databases: their connectors, checks, apply, status and watch
mariadb/            checks of a MariaDB server, its history, its source.yaml, its capture user
postgresql/         the same of PostgreSQL: its slot, its WAL
mysql/              what differs with MySQL
gtids.py            which transactions a binlog has
columns.py          the columns that a cel table has to have
row_mark.py         a mark of one row
"""
