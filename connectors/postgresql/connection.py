"""A connection to a PBX's PostgreSQL that cannot write, and what its errors mean."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from streams.errors import UserError
from streams.settings import DatabaseSettings

CONNECT_SECONDS = 10
READ_SECONDS = 120
"""A page is short; a look-up without an index on a large table may take long."""

Run = Callable[[str, Sequence[Any]], list[dict[str, Any]]]
"""Runs a SELECT with `%s` parameters; the rows as mappings of column to value."""


@contextmanager
def connected(database: DatabaseSettings, password: str) -> Iterator[Run]:
    """Every error of the database, inside as well, becomes a UserError that says what to do."""
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
            options=f"-c default_transaction_read_only=on -c timezone=UTC -c statement_timeout={READ_SECONDS * 1000}",
        ) as connection:  # fmt: skip

            def run(sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
                # psycopg's types want literal SQL; names are quoted by the caller, values are parameters.
                return connection.execute(sql.encode(), tuple(values)).fetchall()

            yield run
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as no:
        _refuse_names(database, str(no).splitlines()[0])
    except psycopg.OperationalError as error:
        told = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        if any(words in told for words in ("authentication failed", "no password supplied", 'role "', "pg_hba.conf")):
            raise UserError(
                f"the database at {where} refuses user {database.user}: {_why(told)}",
                "Check database.user and database.password_file, and pg_hba.conf on the server.",
            ) from None
        if "does not exist" in told:
            _refuse_names(database, told)
        raise UserError(
            f"no database answers at {where} ({told})", "Start it, or check database.host and database.port."
        ) from None
    except psycopg.Error as error:
        raise UserError(f"the database at {where} cannot be read: {error}") from None


def split_table(database: DatabaseSettings) -> tuple[str, str]:
    """Schema and name of the table; without a schema it is in `public`."""
    schema, _, table = database.table.rpartition(".")
    return schema or "public", table


def _why(told: str) -> str:
    if "pg_hba.conf" in told:
        return "pg_hba.conf has no line for it from here"
    if "not permitted to log in" in told:
        return "it may not log in yet (ALTER ROLE .. LOGIN)"
    return "wrong password, or no such user"


def _refuse_names(database: DatabaseSettings, told: object) -> NoReturn:
    raise UserError(
        f"{database.name}.{database.table} at {database.host}:{database.port} cannot be read: {told}",
        f"Check database.name, database.table and database.column_name_aliases, and that {database.user} may SELECT.",
    )
