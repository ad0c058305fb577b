-- The database user with which Debezium reads the PBX's CEL rows from MySQL 8: by its documentation, not tried on a server.
-- As for MariaDB (../mariadb/capture_user.sql), where the privileges have other names. Nothing may be written.
--
-- On the server: log_bin (on by default), binlog_format=ROW, binlog_row_image=FULL, gtid_mode=ON, enforce_gtid_consistency=ON.

CREATE USER IF NOT EXISTS 'cel2crm'@'%' ACCOUNT LOCK;
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'cel2crm'@'%';
GRANT SELECT ON asteriskcdrdb.cel TO 'cel2crm'@'%';
