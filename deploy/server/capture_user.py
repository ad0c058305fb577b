"""capture_user.sql of the settings' database, with its names and the password: for its administrator alone."""

import re
from dataclasses import dataclass
from pathlib import Path

from connectors.failures import user_file
from connectors.postgresql.checks import slot_name
from connectors.postgresql.connection import split_table
from streams.errors import UserError
from streams.settings import DatabaseSettings, Settings, secret

ROOT = Path(__file__).parents[2]

ENGINES = ("mariadb", "mysql", "postgresql")


@dataclass(frozen=True, slots=True)
class CaptureUser:
    """The statements, and the command that runs them on the database's server, given the file that they are in."""

    statements: str
    command: str


def capture_user(settings: Settings, password: str | None = None) -> CaptureUser:
    """The documented SQL under the settings' names, and the line that sets the password.

    `password` None: that of the settings. Raises UserError: a name that is more than letters, digits and `_`, for which
    the file is changed by hand.
    """
    database = settings.database
    password = password or secret(database.password, database.password_file, "database.password")
    shipped = (ROOT / user_file(database.engine)).read_text(encoding="utf-8")
    _require_plain(database)
    if database.engine == "postgresql":
        return CaptureUser(
            f"{_postgresql(shipped, settings)}\n{_postgresql_password(database.user, password)}",
            f"psql -v ON_ERROR_STOP=1 -d {database.name} -f",
        )
    statements = shipped.replace("'cel2crm'", f"'{database.user}'")
    statements = statements.replace("asteriskcdrdb.cel", f"{database.name}.{database.table}")
    quoted = password.replace("\\", "\\\\").replace("'", "''")
    set_password = f"ALTER USER '{database.user}'@'%' IDENTIFIED BY '{quoted}' ACCOUNT UNLOCK;\n"
    client = "mariadb" if database.engine == "mariadb" else "mysql"
    return CaptureUser(f"{statements}\n{set_password}", f"{client} <")


def _postgresql(shipped: str, settings: Settings) -> str:
    database = settings.database
    schema, table = split_table(database)
    names = {
        r"(ROLE|TO|rolname =) ('?)cel2crm\b": rf"\1 \2{database.user}",
        r"(PUBLICATION|pubname =) ('?)cel2crm\b": rf"\1 \2{database.publication}",
        r"'cel2crm_pbx1'": f"'{slot_name(settings)}'",
        r"\bSCHEMA public\b": f"SCHEMA {schema}",
        r"\bpublic\.cel\b": f"{schema}.{table}",
        r"\basteriskcdrdb\b": database.name,
    }
    for pattern, name in names.items():
        shipped = re.sub(pattern, name, shipped)
    return shipped


def _postgresql_password(user: str, password: str) -> str:
    """Without a trace of the password in the server's log."""
    quoted = password.replace("'", "''")
    prefix = "E" if "\\" in password else ""
    quoted = quoted.replace("\\", "\\\\")
    return (
        "SET log_statement = 'none';\nSET log_min_duration_statement = -1;\nSET log_min_error_statement = 'panic';\n"
        f"ALTER ROLE {user} LOGIN PASSWORD {prefix}'{quoted}';\n"
    )


def _require_plain(database: DatabaseSettings) -> None:
    allowed = r"[a-z_][a-z0-9_]*" if database.engine == "postgresql" else r"[A-Za-z0-9_]+"
    table = rf"(?:{allowed}\.)?{allowed}" if database.engine == "postgresql" else allowed
    for setting, name, pattern in (
        ("user", database.user, allowed), ("name", database.name, allowed), ("table", database.table, table),
    ):  # fmt: skip
        if not re.fullmatch(pattern, name):
            raise UserError(
                f"database.{setting} is {name!r}: the file cannot be made for a name that has to be quoted",
                f"Print it, and put the names in by hand: cel2crm files print {user_file(database.engine)}",
            )
