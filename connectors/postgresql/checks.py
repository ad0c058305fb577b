"""Checks of the PBX's PostgreSQL before a connector is applied: else it would stop, or rows would be lost."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.columns import column_refusals, column_warnings
from connectors.postgresql.connection import Run, connected, split_table
from connectors.source import default_slot
from streams.errors import UserError
from streams.settings import DatabaseSettings, Settings, secret

USER_FILE = "connectors/postgresql/capture_user.sql"

OLDEST = 13
"""Backfills without a signal table need a function that came with this version (pg_current_snapshot)."""

_SERVER = """
SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('wal_level') AS wal_level,
       pg_is_in_recovery() AS standby, current_setting('max_slot_wal_keep_size') AS slot_limit,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS replication
"""
_TABLE = """
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence, has_table_privilege(c.oid, 'SELECT') AS readable,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS primary_key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_PUBLICATION = "SELECT pubinsert AS inserts, pubviaroot AS as_one_table FROM pg_publication WHERE pubname = %s"
_PUBLISHED = "SELECT * FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s AND tablename = %s"
_SLOT = """
SELECT plugin::text AS plugin, database::text AS database, wal_status FROM pg_replication_slots WHERE slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Server, table, publication and slot, as read at once. A part is empty where there is none."""

    server: Mapping[str, Any]
    table: Mapping[str, Any]
    publication: Mapping[str, Any]
    published: Mapping[str, Any]
    """The table as the publication has it."""
    slot: Mapping[str, Any]


async def check_database(settings: Settings) -> list[str]:
    """Read the database as the capture user, and refuse what would lose rows. Returns warnings, a line each.

    Raises UserError: no database, a refused password, a server without logical decoding, something missing (the table,
    a column, a right, the publication, the slot).
    """
    database = settings.database
    password = secret(database.password, database.password_file, "database.password")
    facts = await asyncio.to_thread(_read_facts, database, slot_name(settings), password)
    refusals = [
        *server_refusals(facts.server),
        *table_refusals(facts.table, database),
        *publication_refusals(facts, database),
        *slot_refusals(facts.slot, slot_name(settings), database),
    ]
    if refusals:
        raise UserError(
            f"the database at {database.host}:{database.port} cannot be captured:\n"
            + "\n".join(f"  {line}" for line in refusals)
        )
    return [*column_warnings(facts.table["columns"], database), *server_warnings(facts.server)]


def slot_name(settings: Settings) -> str:
    """The replication slot of the settings' PBX: database.slot, else made of the PBX's name."""
    return settings.database.slot or default_slot(settings)


def server_refusals(server: Mapping[str, Any]) -> list[str]:
    """Why the server cannot be followed, with the remedy; empty: it can."""
    refusals = []
    if server["version"] < OLDEST:
        refusals.append(f"it is PostgreSQL {server['version']}: capture needs {OLDEST} or newer")
    if server["standby"]:
        refusals.append("it is a standby: set database.host to the primary, where the slot is")
    if server["wal_level"] != "logical":
        refusals.append(
            f"wal_level is {server['wal_level']}: set wal_level = logical in postgresql.conf, and restart the server"
        )
    if not server["replication"]:
        refusals.append(f"the user lacks REPLICATION: ALTER ROLE .. REPLICATION, as {USER_FILE} does")
    return refusals


def server_warnings(server: Mapping[str, Any]) -> list[str]:
    """What may become a fault later, a line each."""
    if str(server["slot_limit"]) != "-1":
        return []
    return [
        "max_slot_wal_keep_size is not set: while the connector stands still, the server keeps its WAL until the disk "
        "is full; with ALTER SYSTEM SET max_slot_wal_keep_size = '4GB' it gives the slot up instead, which is told"
    ]


def table_refusals(table: Mapping[str, Any], database: DatabaseSettings) -> list[str]:
    """Why the table cannot be captured; empty: it can."""
    name = ".".join(split_table(database))
    if not table or not table["readable"]:
        return [
            f"there is no table {name} in database {database.name}, or user {database.user} may not read it: check "
            f"database.name and database.table, and grant what {USER_FILE} grants"
        ]
    if table["kind"] not in ("r", "p"):
        return [
            f"{name} is no table but a view or the like: only a table's rows are in the WAL; name the table behind it"
        ]
    refusals = column_refusals(table["columns"], database)
    if table["persistence"] != "p":
        refusals.append(
            f"table {name} is unlogged: its rows never reach the WAL, and a crash empties it; "
            f"ALTER TABLE {name} SET LOGGED"
        )
    if not table["primary_key"]:
        refusals.append(
            f"table {name} has no primary key: rows could not be told apart, nor backfilled; give it one on id"
        )
    return refusals


def publication_refusals(facts: DatabaseFacts, database: DatabaseSettings) -> list[str]:
    """Why rows of the table would not come by the publication; empty: they come."""
    name, table = database.publication, ".".join(split_table(database))
    if not facts.publication:
        return [
            f"there is no publication {name} in database {database.name}: "
            f"CREATE PUBLICATION {name} FOR TABLE {table} WITH (publish = 'insert'), as {USER_FILE} does"
        ]
    if not facts.publication["inserts"]:
        return [f"publication {name} leaves inserts out: ALTER PUBLICATION {name} SET (publish = 'insert')"]
    if facts.table.get("kind") == "p" and not facts.publication.get("as_one_table", True):
        return [
            f"publication {name} tells the rows of {table} by the names of its partitions: "
            f"ALTER PUBLICATION {name} SET (publish_via_partition_root = true)"
        ]
    if not facts.published:
        return [f"publication {name} leaves the table out: ALTER PUBLICATION {name} ADD TABLE {table}"]
    # Both columns came with PostgreSQL 15.
    if facts.published.get("rowfilter"):
        return [f"publication {name} filters rows: make it without WHERE"]
    absent = set(facts.table.get("columns") or ()) - set(facts.published.get("attnames") or ())
    if "attnames" in facts.published and absent:
        return [f"publication {name} leaves columns out ({', '.join(sorted(absent))}): make it without a column list"]
    return []


def slot_refusals(slot: Mapping[str, Any], name: str, database: DatabaseSettings) -> list[str]:
    """Why the slot cannot be used, with the remedy; empty: it can."""
    made = f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
    if not slot:
        return [f"there is no replication slot {name}: in database {database.name}, {made}, as {USER_FILE} does"]
    if slot["plugin"] != "pgoutput" or slot["database"] != database.name:
        return [
            f"replication slot {name} is of plugin {slot['plugin']} and database {slot['database']}: name another one "
            f"in database.slot, and make it in database {database.name}: {made}"
        ]
    if slot["wal_status"] == "lost":
        return [
            f"replication slot {name} has been given up by the server, since it kept more than max_slot_wal_keep_size: "
            f"SELECT pg_drop_replication_slot('{name}'), then {made}, then cel2crm connectors start-afresh"
        ]
    return []


def _read_facts(database: DatabaseSettings, slot: str, password: str) -> DatabaseFacts:
    with connected(database, password) as run:
        return read_facts(run, database, slot)


def read_facts(run: Run, database: DatabaseSettings, slot: str) -> DatabaseFacts:
    """Ask the server. Raises UserError."""
    return DatabaseFacts(
        server=run(_SERVER, [])[0],
        table=_first(run(_TABLE, split_table(database))),
        publication=_first(run(_PUBLICATION, [database.publication])),
        published=_first(run(_PUBLISHED, [database.publication, *split_table(database)])),
        slot=_first(run(_SLOT, [slot])),
    )


def _first(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return rows[0] if rows else {}
