"""An Iceberg lake, by Iceberg's own sink: a connector and a table each for results, legs and raw rows.

tables.py              which topic fills which table, and by which of its times it is partitioned
sink.yaml, config.py   the configuration of a connector
catalog.sql            the tables of a catalog in PostgreSQL
checks.py              whether the catalog answers, and the user may use it
control.py             the place from which a connector reads the answers to its own commits
"""
