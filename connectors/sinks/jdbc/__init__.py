"""SQL: postgresql.sql and mariadb.sql make tables and views; the .json beside them configure Debezium's JDBC sink."""
