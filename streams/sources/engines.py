"""Differences of MariaDB and PostgreSQL for a reader of the cel table: connecting, quoting, what errors mean."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import pymysql
from pymysql.constants import ER

from connectors.mariadb.checks import connection_error
from streams.errors import UserError
from streams.settings import DatabaseSettings

CONNECT_SECONDS = 10
READ_SECONDS = 120
"""A page is short; a look-up without an index on a large table may take long."""

Run = Callable[[str, Sequence[Any]], list[dict[str, Any]]]
"""Runs a SELECT with `%s` parameters; the rows as mappings of column to value."""


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
        connection = pymysql.connect(
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


@contextmanager
def _postgresql(database: DatabaseSettings, password: str) -> Iterator[Run]:
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ImportError:
        raise UserError(
            "reading PostgreSQL needs the driver psycopg",
            "Install cel2crm with its extra `postgresql` (docs/package.md), or pip install 'psycopg[binary]'.",
        ) from None
    where = f"{database.host}:{database.port}"
    try:
        with psycopg.connect(
            host=database.host, port=database.port, user=database.user, password=password, dbname=database.name,
            connect_timeout=CONNECT_SECONDS, autocommit=True, row_factory=dict_row, client_encoding="utf8",
            options=f"-c default_transaction_read_only=on -c statement_timeout={READ_SECONDS * 1000}",
        ) as connection:  # fmt: skip

            def run(sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
                # psycopg's types want literal SQL; names are quoted by `_quoted`, values are parameters.
                return connection.execute(sql.encode(), tuple(values)).fetchall()

            yield run
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as no:
        _refuse_names(database, str(no).splitlines()[0])
    except psycopg.OperationalError as error:
        told = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        if "authentication failed" in told or "no password supplied" in told or 'role "' in told:
            raise UserError(
                f"the database at {where} refuses user {database.user}: wrong password, or no such user",
                "Check database.user and database.password_file.",
            ) from None
        if "does not exist" in told:
            _refuse_names(database, told)
        raise UserError(
            f"no database answers at {where} ({told})", "Start it, or check database.host and database.port."
        ) from None
    except psycopg.Error as error:
        raise UserError(f"the database at {where} cannot be read: {error}") from None


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
    "postgresql": Engine(_quoted('"'), _postgresql, _postgresql_primary_key),
}
