"""SQL databases, by Debezium's JDBC sink: a connector and a table each for results, legs, deliveries and dead letters.

postgresql.sql, mariadb.sql   the tables and views: the one declaration of the columns
tables.py                     which topics and fields go into which table
sink.yaml, config.py          the configuration of a connector
checks.py                     whether a database has those tables, and the user may write them
"""
