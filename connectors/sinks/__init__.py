"""Sinks: where results go besides CRMs, by Kafka Connect.

jdbc/    tables and views for PostgreSQL and MariaDB, and the configuration of Debezium's JDBC sink
"""
