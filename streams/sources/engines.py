"""Differences of MariaDB and PostgreSQL for a reader of the cel table: connecting, quoting, what errors mean."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import pymysql
from pymysql.constants import ER

from connectors.mariadb.checks import connection_error
from connectors.mariadb.shared_tls import SharedTlsConnection
from connectors.postgresql.connection import CONNECT_SECONDS, READ_SECONDS, Run
from connectors.postgresql.connection import connected as postgresql_connected
from streams.errors import UserError
from streams.settings import DatabaseSettings


@dataclass(frozen=True, slots=True)
class Engine:
    """How to speak with one kind of server."""

    quote: Callable[[str], str]
    """An identifier as it stands in SQL."""
    connect: Callable[[DatabaseSettings, str], AbstractContextManager[Run]]
    """A connection that cannot write. Raises UserError that says what is wrong and what to do."""
    primary_key: Callable[[DatabaseSettings], tuple[str, Sequence[Any]]]
    """A SELECT, with its parameters, of the columns (`name`) of the table's primary key in their order. One that a user
    with no right but SELECT may give: information_schema.key_column_usage shows such a user nothing."""


@contextmanager
def _mysql(database: DatabaseSettings, password: str) -> Iterator[Run]:
    try:
        connection = SharedTlsConnection(
            host=database.host, port=database.port, user=database.user, password=password, database=database.name,
            charset="utf8mb4", connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, autocommit=True,
            init_command="SET SESSION TRANSACTION READ ONLY", cursorclass=pymysql.cursors.DictCursor,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:

            def run(sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
                cursor.execute(sql, tuple(values))
                return list(cursor.fetchall())

            yield run
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        code = error.args[0] if error.args else None
        if code in (
            ER.NO_SUCH_TABLE,
            ER.BAD_DB_ERROR,
            ER.DBACCESS_DENIED_ERROR,
            ER.TABLEACCESS_DENIED_ERROR,
            ER.BAD_FIELD_ERROR,
        ):
            _refuse_names(database, error.args[-1])
        raise connection_error(error, database) from None


def _refuse_names(database: DatabaseSettings, told: object) -> NoReturn:
    raise UserError(
        f"{database.name}.{database.table} at {database.host}:{database.port} cannot be read: {told}",
        f"Check database.name, database.table and database.column_name_aliases, and that {database.user} may SELECT.",
    )


def _quoted(mark: str) -> Callable[[str], str]:
    # A percent sign would be taken for a parameter.
    return lambda name: ".".join(
        mark + part.replace(mark, mark * 2).replace("%", "%%") + mark for part in name.split(".")
    )


def _mysql_primary_key(database: DatabaseSettings) -> tuple[str, Sequence[Any]]:
    schema, _, table = database.table.rpartition(".")
    sql = (
        "SELECT column_name AS name FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s AND column_key = 'PRI' ORDER BY ordinal_position"
    )
    return sql, (schema or database.name, table)


def _postgresql_primary_key(database: DatabaseSettings) -> tuple[str, Sequence[Any]]:
    sql = (
        "SELECT a.attname AS name FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
        "AND a.attnum = ANY (i.indkey) WHERE i.indisprimary AND i.indrelid = %s::regclass ORDER BY a.attnum"
    )
    return sql, (_quoted('"')(database.table).replace("%%", "%"),)


_MYSQL = Engine(_quoted("`"), _mysql, _mysql_primary_key)

ENGINES: Mapping[str, Engine] = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    "postgresql": Engine(_quoted('"'), postgresql_connected, _postgresql_primary_key),
}
