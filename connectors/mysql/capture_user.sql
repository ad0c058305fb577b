-- The database user with which Debezium reads the PBX's CEL rows from MySQL 8.0 or newer: exactly the grants that suffice, and none
-- to write. Run it as root on the PBX's database server:
--
--     mysql < capture_user.sql
--
-- The password is not in this file. The account stays locked until it gets one; in a `mysql` session started as
-- `MYSQL_HISTFILE=/dev/null mysql` (so that it is not kept in the history file):
--
--     ALTER USER 'cel2crm'@'%' IDENTIFIED BY 'the password' ACCOUNT UNLOCK;
--
-- The same password goes into the properties file that Kafka Connect reads (settings: connect.password_reference) and into the
-- file or environment variable for cel2crm itself (settings: database.password_file, CEL2CRM_DATABASE__PASSWORD), which checks the
-- database before it applies the connector.
--
-- Other names: change 'cel2crm' and asteriskcdrdb.cel to what database.user, database.name and database.table say. Put the
-- address of the Kafka Connect host in the place of '%' where it is known; grant for both where cel2crm runs elsewhere.
-- Running it again changes nothing, the password included.
--
-- On the server: log_bin (on by default), binlog_format=ROW and binlog_row_image=FULL (the defaults), and GTIDs, which are off by
-- default in MySQL 8. They are put on while the server runs, one statement after the other:
--
--     SET PERSIST enforce_gtid_consistency = ON;
--     SET PERSIST gtid_mode = OFF_PERMISSIVE;
--     SET PERSIST gtid_mode = ON_PERMISSIVE;
--     SET PERSIST gtid_mode = ON;

CREATE USER IF NOT EXISTS 'cel2crm'@'%' ACCOUNT LOCK;

-- Read the binlog as a replica does, and ask where it stands.
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'cel2crm'@'%';

-- The definition of the table, and backfills.
GRANT SELECT ON asteriskcdrdb.cel TO 'cel2crm'@'%';
