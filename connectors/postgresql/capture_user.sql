-- What the capture of the PBX's CEL rows needs in PostgreSQL 13 and newer: a user that may read one table, a publication of
-- that table's inserts, and a replication slot. Run it once as the database's superuser, in the PBX's database:
--
--     psql -v ON_ERROR_STOP=1 -d asteriskcdrdb -f capture_user.sql
--
-- First, in postgresql.conf (the server has to be restarted):
--
--     wal_level = logical
--     max_slot_wal_keep_size = 4GB    # at most so much disk for a connector that stands still: then its slot is given up, loudly
--
-- and in pg_hba.conf a line for the user from the hosts of Kafka Connect and of cel2crm:
--
--     host  asteriskcdrdb  cel2crm  10.0.0.0/24  scram-sha-256
--
-- The password is not in this file. The user cannot log in until it gets one, in psql:
--
--     \password cel2crm
--     ALTER ROLE cel2crm LOGIN;
--
-- The same password goes into the properties file that Kafka Connect reads (settings: connect.password_reference) and into the
-- file or environment variable for cel2crm itself (settings: database.password_file, CEL2CRM_DATABASE__PASSWORD).
--
-- Other names: change cel2crm, asteriskcdrdb and public.cel to what database.user, database.name and database.table say, the
-- publication's to database.publication, and the slot's to database.slot (without that setting: cel2crm_ and pbx.name in small
-- letters, with _ for -). Running it again changes nothing, the password included.

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cel2crm') THEN
        CREATE ROLE cel2crm NOLOGIN REPLICATION;
    END IF;
END $$;

-- The definition of the table, and backfills. Nothing may be written.
GRANT CONNECT ON DATABASE asteriskcdrdb TO cel2crm;
GRANT USAGE ON SCHEMA public TO cel2crm;
GRANT SELECT ON public.cel TO cel2crm;

-- Inserts only: an operator's purge of old rows never reaches Kafka.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'cel2crm') THEN
        CREATE PUBLICATION cel2crm FOR TABLE public.cel WITH (publish = 'insert');
    END IF;
END $$;

-- From now on the server keeps its WAL until the connector has read it. Without the connector: SELECT pg_drop_replication_slot(..)
SELECT pg_create_logical_replication_slot('cel2crm_pbx1', 'pgoutput')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'cel2crm_pbx1');
