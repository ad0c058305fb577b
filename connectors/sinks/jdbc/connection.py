"""A connection to a sink's database, as `connectors apply --sink` and `status` have it; every error in a sentence."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from streams.errors import UserError
from streams.settings import SinkSettings, secret
from streams.settings.tls import tls_context
from streams.tls_failures import tls_failure

TIMEOUT_SECONDS = 10
_INSECURE_REFUSED = 3159
"""MariaDB with require_secure_transport."""

Run = Callable[..., list[dict[str, Any]]]
"""Runs a statement with its values; the rows."""

# What libpq says of TLS, in the words of libpq 12 to 17: psycopg hands no code on.
_TLS_SAID = (
    ("does not support SSL", "it speaks no TLS", "Switch TLS on there, or take ssl out of the sink."),
    ("certificate verify failed", "its certificate is signed by nobody whom ssl_ca_file names",
     "Set ssl_ca_file of the sink to the PEM file of the authority that signed it."),
    ("does not match host name", "its certificate is of another name",
     "Use a name for host that its certificate holds, or give it a certificate for this one."),
    ("certificate has expired", "its certificate is not valid now", "Renew it."),
    ("no encryption", "it wants TLS", "Set ssl: true for the sink, and ssl_ca_file."),
)  # fmt: skip


@contextmanager
def connected(sink: SinkSettings) -> Iterator[Run]:
    """A function that runs statements there. Every error of the database becomes a UserError."""
    password = secret(sink.password, sink.password_file, f"sinks.{sink.called}.password")
    with (_mariadb if sink.engine == "mariadb" else _postgresql)(sink, password) as run:
        yield run


@contextmanager
def _mariadb(sink: SinkSettings, password: str) -> Iterator[Run]:
    # It checks certificate and name, and nothing goes in the clear.
    encrypted = tls_context(f"sinks.{sink.called}", sink.ssl_ca_file, None, None) if sink.ssl else None
    try:
        connection = pymysql.connect(
            host=sink.host, port=sink.listens_on, user=sink.user, database=sink.database,
            password=password.encode(),  # PyMySQL would take other letters for Latin 1, Connect's driver does not
            connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, autocommit=True,
            cursorclass=pymysql.cursors.DictCursor, ssl=encrypted,
        )  # fmt: skip
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        code, told = error.args[0] if error.args else None, error.args[-1] if error.args else type(error).__name__
        if tls := tls_failure(error):
            raise _no_tls(sink, tls.problem, f"{tls.remedy} (of the sink)") from None
        if code == _INSECURE_REFUSED:
            raise _no_tls(sink, "it wants TLS", "Set ssl: true for the sink, and ssl_ca_file.") from None
        if "SSL is required but the server doesn't support it" in str(told):
            raise _no_tls(sink, *_TLS_SAID[0][1:]) from None
        if code == ER.ACCESS_DENIED_ERROR:
            raise _no_login(sink) from None
        if code in (CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_LOST) or isinstance(error, OSError):
            raise _no_answer(sink, told) from None
        raise _no_database(sink, told) from None
    with connection, connection.cursor() as cursor:

        def run(statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
            try:
                cursor.execute(statement, values or None)
            except (pymysql.MySQLError, OSError) as error:
                raise UserError(f"{error.args[-1] if error.args else error}") from None
            return [{name.lower(): value for name, value in row.items()} for row in cursor.fetchall()]

        yield run


@contextmanager
def _postgresql(sink: SinkSettings, password: str) -> Iterator[Run]:
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ImportError:
        raise UserError(
            "looking at PostgreSQL needs the driver psycopg",
            "Install cel2crm with its extra `postgresql` (docs/package.md), or pip install 'psycopg[binary]'.",
        ) from None
    try:
        connection = psycopg.connect(
            host=sink.host, port=sink.listens_on, user=sink.user, password=password, dbname=sink.database,
            connect_timeout=TIMEOUT_SECONDS, autocommit=True, row_factory=dict_row, client_encoding="utf8",
            options=f"-c statement_timeout={TIMEOUT_SECONDS * 1000}", **_encrypted(sink),
        )  # fmt: skip
    except psycopg.OperationalError as error:
        for words, problem, remedy in _TLS_SAID:
            if words in str(error):
                raise _no_tls(sink, problem, remedy) from None
        told = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        if "authentication failed" in told or "no password supplied" in told or 'role "' in told:
            raise _no_login(sink) from None
        raise (_no_database if "does not exist" in told or "permission denied" in told else _no_answer)(
            sink, told
        ) from None
    with connection:

        def run(statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
            try:
                cursor = connection.execute(statement.encode(), tuple(values) or None)
                return cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise UserError(str(error).splitlines()[0]) from None

        yield run


def _encrypted(sink: SinkSettings) -> dict[str, Any]:
    """What psycopg is told of TLS."""
    if not sink.ssl:
        return {}
    if sink.ssl_ca_file is not None:
        tls_context(f"sinks.{sink.called}", sink.ssl_ca_file, None, None)  # says what is wrong with the file
    return {"sslmode": "verify-full", "sslrootcert": str(sink.ssl_ca_file or "system")}


def _no_tls(sink: SinkSettings, problem: str, remedy: str) -> UserError:
    return UserError(f"no TLS with the database of sink {sink.called} at {sink.address}: {problem}", remedy)


def _no_login(sink: SinkSettings) -> UserError:
    return UserError(
        f"the database of sink {sink.called} at {sink.address} refuses user {sink.user}: wrong password, "
        "or no such user",
        "Check user and password_file of the sink, and that its password_reference leads to the same password.",
    )


def _no_answer(sink: SinkSettings, told: object) -> UserError:
    return UserError(
        f"no database answers at {sink.address} for sink {sink.called} ({told})",
        "Start it, or check host and port of the sink.",
    )


def _no_database(sink: SinkSettings, told: object) -> UserError:
    return UserError(
        f"database {sink.database} at {sink.address} cannot be used by sink {sink.called}: {told}",
        "Make it, or check database and user of the sink (docs/analytics.md).",
    )
