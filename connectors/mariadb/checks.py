"""Checks of the PBX's database before a connector is applied: where one fails, Debezium would lose rows silently."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import CR, ER
from pymysql.cursors import DictCursor

from connectors.columns import column_refusals, column_warnings
from connectors.failures import user_file
from connectors.mariadb.shared_tls import SharedTlsConnection
from streams.errors import UserError
from streams.settings import DatabaseSettings, secret

TIMEOUT_SECONDS = 10

WHERE_TO_SET = "in the [mariadb] section of the server's configuration, and restart it"

QUERY = """
SELECT @@version AS version, @@log_bin AS log_bin, @@global.binlog_format AS binlog_format,
       @@global.binlog_row_image AS binlog_row_image, @@global.log_bin_compress AS log_bin_compress
"""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The server's settings, the user's grants and the table's columns, as read at once."""

    variables: Mapping[str, str]
    grants: tuple[str, ...]
    columns: Mapping[str, str]
    """Name and type of each column of the table; empty: no such table, or none that this user may read."""
    primary_key: tuple[str, ...]
    storage_engine: str = "InnoDB"
    """Of the table; empty: it has none."""
    only_databases: str = ""
    """binlog-do-db: databases whose changes alone are in the binlog, with commas; empty: all."""
    ignored_databases: str = ""
    """binlog-ignore-db: databases whose changes are not."""


async def check_database(database: DatabaseSettings) -> list[str]:
    """Read the database as the capture user, and refuse settings that would lose rows. Returns warnings, a line each.

    Raises UserError: no database, a refused password, a binlog that cannot be followed, something missing (the table, a
    column, a grant).
    """
    facts = await read_facts(database, QUERY)
    refusals = [*binlog_refusals(facts.variables), *grant_refusals(facts.grants)]
    refuse([*refusals, *filter_refusals(facts, database), *table_refusals(facts, database)], database)
    return table_warnings(facts, database)


def refuse(refusals: Sequence[str], database: DatabaseSettings) -> None:
    """Raises UserError with the lines, if there are any."""
    if refusals:
        raise UserError(
            f"the database at {database.host}:{database.port} cannot be captured:\n"
            + "\n".join(f"  {line}" for line in refusals)
        )


def binlog_refusals(variables: Mapping[str, str]) -> list[str]:
    """Why the server's binlog cannot be followed, with the remedy; empty: it can."""
    if variables["log_bin"] in ("0", "OFF"):
        return [f"it writes no binlog: set log_bin and server_id {WHERE_TO_SET}"]
    refusals = []
    if variables["binlog_format"] != "ROW":
        refusals.append(
            f"binlog_format is {variables['binlog_format']}: rows would be lost; set binlog_format=ROW {WHERE_TO_SET}"
        )
    if variables["binlog_row_image"] != "FULL":
        refusals.append(
            f"binlog_row_image is {variables['binlog_row_image']}: columns would be missing; "
            f"set binlog_row_image=FULL {WHERE_TO_SET}"
        )
    if variables["log_bin_compress"] not in ("0", "OFF"):
        refusals.append(
            "log_bin_compress is ON: rows over 256 bytes would vanish without a word; "
            f"set log_bin_compress=OFF {WHERE_TO_SET}"
        )
    return refusals


def filter_refusals(facts: DatabaseFacts, database: DatabaseSettings) -> list[str]:
    """Why the rows of the database are not in the binlog; empty: they are."""
    only, ignored = _names(facts.only_databases), _names(facts.ignored_databases)
    if only and database.name.lower() not in only:
        what = f"binlog-do-db is {facts.only_databases}"
    elif database.name.lower() in ignored:
        what = f"binlog-ignore-db is {facts.ignored_databases}"
    else:
        return []
    return [
        f"{what}: rows of {database.name} are not in its binlog; take it out of the server's configuration, and "
        "restart it, or capture from the server that writes them there"
    ]


def _names(databases: str) -> set[str]:
    return {name.strip().lower() for name in databases.split(",") if name.strip()}


def grant_refusals(grants: Iterable[str], engine: str = "mariadb") -> list[str]:
    """The global privileges that a user lacks, of what SHOW GRANTS says."""
    monitor = "BINLOG MONITOR" if engine == "mariadb" else "REPLICATION CLIENT"
    everywhere = " ".join(grant.split(" ON *.* ")[0].upper() for grant in grants if " ON *.* " in grant)
    if "ALL PRIVILEGES" in everywhere:
        return []
    refusals = []
    if "REPLICATION SLAVE" not in everywhere and "REPLICATION REPLICA" not in everywhere:
        refusals.append(f"the user lacks REPLICATION SLAVE ON *.*: grant what {user_file(engine)} grants")
    # The second is its name before MariaDB 10.5.
    if "BINLOG MONITOR" not in everywhere and "REPLICATION CLIENT" not in everywhere:
        refusals.append(f"the user lacks {monitor} ON *.*: grant what {user_file(engine)} grants")
    return refusals


def table_refusals(facts: DatabaseFacts, database: DatabaseSettings) -> list[str]:
    """Why the table cannot be captured: it, a column or its primary key is missing; empty: it can."""
    table = f"{database.name}.{database.table}"
    if not facts.columns:
        return [
            f"there is no table {table}, or user {database.user} may not read it: check database.name and "
            f"database.table, and grant what {user_file(database.engine)} grants"
        ]
    refusals = column_refusals(facts.columns, database)
    if facts.storage_engine.lower() in ("myisam", "memory"):
        refusals.append(
            f"table {table} is of the storage engine {facts.storage_engine}: a backfill that reads it would keep "
            "Asterisk's inserts waiting, and a crash damages or empties it; in a quiet hour, for Asterisk waits "
            f"meanwhile: ALTER TABLE {table} ENGINE=InnoDB"
        )
    if not facts.primary_key:
        refusals.append(
            f"table {table} has no primary key: rows could not be told apart, nor backfilled; give it one on id"
        )
    return refusals


def table_warnings(facts: DatabaseFacts, database: DatabaseSettings) -> list[str]:
    """See connectors.columns.column_warnings."""
    return column_warnings(facts.columns, database)


@contextlib.contextmanager
def connected(database: DatabaseSettings, password: str, *, texts: bool = True) -> Iterator[DictCursor]:
    """A cursor on the PBX's database. Every error of the database, inside as well, becomes a UserError.

    `texts` False: texts come as bytes, where they may hold what is not valid in any character set.
    """
    try:
        connection = SharedTlsConnection(
            host=database.host, port=database.port, user=database.user, password=password,
            connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, cursorclass=DictCursor, use_unicode=texts,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            yield cursor
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        raise connection_error(error, database) from None


async def read_facts(database: DatabaseSettings, variables: str) -> DatabaseFacts:
    """Ask the server, as the capture user; `variables`: a SELECT of one row. Raises UserError: no database."""
    password = secret(database.password, database.password_file, "database.password")
    return await asyncio.to_thread(_read_facts, database, password, variables)


def _read_facts(database: DatabaseSettings, password: str, query: str) -> DatabaseFacts:
    with connected(database, password) as cursor:
        cursor.execute(query)
        variables = {name: str(value) for name, value in _rows(cursor)[0].items()}
        cursor.execute("SHOW GRANTS")
        grants = tuple(str(next(iter(row.values()))) for row in _rows(cursor))
        cursor.execute(
            "SELECT column_name AS name, column_type AS type, column_key AS part_of "
            "FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (database.name, database.table),
        )
        columns = _rows(cursor)
        cursor.execute(
            "SELECT engine FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (database.name, database.table),
        )
        engine = str(next((next(iter(row.values())) for row in _rows(cursor)), "") or "")
        status = _status_or_nothing(cursor)
    return DatabaseFacts(
        variables,
        grants,
        {row["name"]: row["type"] for row in columns},
        tuple(row["name"] for row in columns if row["part_of"] == "PRI"),
        engine,
        str(status.get("Binlog_Do_DB") or ""),
        str(status.get("Binlog_Ignore_DB") or ""),
    )


def binlog_status(cursor: DictCursor) -> dict[str, Any]:
    """Where the binlog ends, and whose changes are in it; empty: there is none.

    The statement has another name from MySQL 8.2 on, and its old one is gone in 8.4.
    """
    try:
        cursor.execute("SHOW MASTER STATUS")
    except pymysql.MySQLError as error:
        if not error.args or error.args[0] != ER.PARSE_ERROR:
            raise
        cursor.execute("SHOW BINARY LOG STATUS")
    found = _rows(cursor)
    return found[0] if found else {}


def _status_or_nothing(cursor: DictCursor) -> dict[str, Any]:
    """A user without the right to ask is told of the grant that it lacks."""
    try:
        return binlog_status(cursor)
    except pymysql.MySQLError as error:
        if error.args and error.args[0] == ER.SPECIFIC_ACCESS_DENIED_ERROR:
            return {}
        raise


def _rows(cursor: DictCursor) -> list[dict[str, Any]]:
    return [dict(row) for row in cursor.fetchall()]


def connection_error(error: BaseException, database: DatabaseSettings) -> UserError:
    """The message for a user when MariaDB or MySQL refuses, or does not answer."""
    code = error.args[0] if error.args else None
    where = f"{database.host}:{database.port}"
    if code in (ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR):
        return UserError(
            f"the database at {where} refuses user {database.user}: wrong password, or no such user",
            f"Check database.user and database.password_file; {user_file(database.engine)} makes the user. "
            "(An anonymous user ''@'localhost' goes before ours on the database's own host: drop it.)",
        )
    if code in (CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_LOST) or isinstance(error, OSError):
        return UserError(
            f"no database answers at {where} ({error.args[-1] if error.args else type(error).__name__})",
            "Start it, or check database.host and database.port.",
        )
    if code == ER.UNKNOWN_SYSTEM_VARIABLE:
        named, other = ("MariaDB", "mysql") if database.engine == "mariadb" else ("MySQL", "mariadb")
        return UserError(
            f"the database at {where} is no {named} of a version that can be captured ({error.args[-1]})",
            f"Where it is the other of the two, set database.engine: {other}.",
        )
    return UserError(f"the database at {where} cannot be read: {error.args[-1] if error.args else error}")
