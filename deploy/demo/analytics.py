"""`make demo ANALYTICS=1`: the same demo with a PostgreSQL that calls go to, and what an analyst sees there."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table

from connectors.sinks.jdbc.tables import FOLDER
from deploy.demo.pipeline import Pipeline, log_tail, run_command
from deploy.local import LocalStack
from deploy.local.logs import BUILD
from deploy.local.ports import free_port
from streams.calls.result import CallResult
from streams.errors import UserError

DATABASE = "calls"
SINK_USER = "cel2crm"
START_SECONDS = 30.0
TAKEN_SECONDS = 60.0
_PROCESS = "postgresql"
_HOST = "127.0.0.1"
_COMPARED = ("version", "correction", "direction", "answered", "result", "client", "trunk", "talk_seconds", "outcome")
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Analytics:
    """A PostgreSQL of the demo's own, with the tables and views of a sink."""

    port: int
    owner_password: str = field(repr=False)
    password_file: Path
    """With that password, as psql reads it."""
    sink: Mapping[str, Any]
    """Its line under `sinks:`."""

    def select(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a statement, as the owner."""
        with self._connected() as connection:
            return connection.execute(statement.encode()).fetchall()

    @property
    def psql(self) -> str:
        """The command that leads there."""
        return f"PGPASSFILE={self.password_file} psql -h {_HOST} -p {self.port} -U postgres {DATABASE}"

    def _connected(self, database: str = DATABASE) -> "psycopg.Connection[dict[str, Any]]":
        return psycopg.connect(
            host=_HOST, port=self.port, user="postgres", password=self.owner_password, dbname=database, autocommit=True,
            row_factory=dict_row,
        )  # fmt: skip

    def prepare(self, password: str) -> None:
        """Database, tables, views and the sink's user, as docs/analytics.md has them."""
        with self._connected("postgres") as connection:
            connection.execute(f"create database {DATABASE}".encode())
        with self._connected() as connection:
            connection.execute((FOLDER / "postgresql.sql").read_bytes())
            connection.execute(f"create user {SINK_USER} password '{password}'".encode())
            connection.execute(f"grant select, insert, update on all tables in schema public to {SINK_USER}".encode())


@contextmanager
def analytics(stack: LocalStack) -> Iterator[Analytics]:
    """A server for as long as the stack runs. Raises UserError: PostgreSQL is not installed, or does not start."""
    programs = _programs()
    # Not in the stack's directory: the server's user may not be allowed to enter that.
    with tempfile.TemporaryDirectory(prefix="cel2crm-demo-postgresql-") as folder:
        home, password, sink_password = Path(folder), secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        port = _start(stack, programs, home, password)
        words = _secret(stack, "pgpass", f"{_HOST}:{port}:*:postgres:{password}\n")
        found = Analytics(port, password, words, _sink(stack, port, sink_password))
        _until_it_answers(stack, found)
        found.prepare(sink_password)
        yield found
        if stack.exit_status(_PROCESS) is None:
            stack.kill(_PROCESS)


def take_calls(running: Pipeline) -> None:
    """Apply the sink, and have `connectors watch` look after it and after the source."""
    run_command("connectors", "apply", "--sink", "postgresql", settings=running.settings_file)
    running.start("watch", "connectors", "watch")


def show_analytics(
    console: Console, found: Analytics, running: Pipeline, results: Mapping[str, CallResult]
) -> list[str]:
    """What an analyst sees; where that is not what the topic says: the faults."""
    deadline = time.monotonic() + TAKEN_SECONDS
    while (faults := _compared(found, results)) and time.monotonic() < deadline:
        running.check()
        time.sleep(0.5)
    rows = found.select("select outcome, direction, count(*) as calls from calls group by 1, 2 order by 1, 2")
    directions = sorted({row["direction"] for row in rows})
    table = Table("outcome", *directions, "calls", title="The view calls in PostgreSQL")
    for outcome in sorted({row["outcome"] for row in rows}):
        counts = {row["direction"]: row["calls"] for row in rows if row["outcome"] == outcome}
        table.add_row(outcome, *(str(counts.get(each, "")) for each in directions), str(sum(counts.values())))
    console.print(table)
    waiting = found.select("select count(*) as n from missed_not_called_back")[0]["n"]
    console.print(f"Clients who must be called back (missed_not_called_back): {waiting}")
    console.print(_complete(found, deadline, running), highlight=False)
    console.print(f"The report of these calls: file://{_report(running)}", highlight=False, soft_wrap=True)
    return faults


def _report(running: Pipeline) -> Path:
    """The page of `cel2crm report`, which stays when the demo has ended."""
    page = BUILD.parent / "demo-report.html"
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    run_command("report", "--since", yesterday, "--html", str(page), settings=running.settings_file)
    return page


def _complete(found: Analytics, deadline: float, running: Pipeline) -> str:
    """Until when the calls in the database are complete: a minute ago at best."""
    while True:
        rows = found.select("select * from complete_until where complete_until is not null")
        if rows:
            return f"Calls of {rows[0]['pbx']} are complete until {rows[0]['complete_until'].astimezone(UTC):%F %T} UTC"
        if time.monotonic() > deadline:
            return "Until when calls are complete is not known yet (the view complete_until)"
        running.check()
        time.sleep(0.5)


def _compared(found: Analytics, results: Mapping[str, CallResult]) -> list[str]:
    """Where view and topic differ, call by call."""
    rows = {row["call_id"]: row for row in found.select("select * from calls")}
    calls = {each.call_id: each for each in results.values()}
    faults = [
        f"postgresql: call {each} is on the topic, and not in the view calls" for each in calls.keys() - rows.keys()
    ]
    faults += [
        f"postgresql: call {each} is in the view calls, and not on the topic" for each in rows.keys() - calls.keys()
    ]
    for call_id in calls.keys() & rows.keys():
        call, row = calls[call_id], rows[call_id]
        differ = [name for name in _COMPARED if row[name] != getattr(call, name)]
        if (row["started_at"] - _UNIX) // timedelta(microseconds=1) != call.started_at:
            differ.append("started_at")
        if differ:
            faults.append(f"postgresql: call {call_id} differs from the topic in {', '.join(differ)}")
    return faults


def _programs() -> Path:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    if found is None:
        raise UserError("PostgreSQL is not installed, which ANALYTICS=1 needs", "On Debian: apt-get install postgresql")
    return Path(found).resolve().parent


def _start(stack: LocalStack, programs: Path, home: Path, password: str) -> int:
    """Start a new server; its port."""
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if os.geteuid() == 0 else []
    words = home / "owner-password"
    words.touch(mode=0o600)
    words.write_text(password, encoding="utf-8")
    for each in (home, words):
        shutil.chown(each, user)
    made = subprocess.run(
        [*as_user, programs / "initdb", "-D", home / "data", "-U", "postgres", "--auth=scram-sha-256",
         f"--pwfile={words}", "--encoding=UTF8", "--locale=C", "--no-sync"],
        check=False, capture_output=True, text=True, cwd=home,
    )  # fmt: skip
    if made.returncode:
        raise UserError(f"PostgreSQL's initdb failed:\n{made.stderr.strip()}")
    port = free_port()
    stack.run(
        _PROCESS,
        [*as_user, programs / "postgres", "-D", home / "data", "-p", str(port), "-c", f"listen_addresses={_HOST}",
         "-c", f"unix_socket_directories={home}", "-c", "fsync=off"],
        cwd=home,
    )  # fmt: skip
    return port


def _sink(stack: LocalStack, port: int, password: str) -> dict[str, Any]:
    """The sink's settings, its password in one file for the commands and in one for Connect."""
    for_connect = _secret(stack, "sink.properties", f"sink.password={password}\n")
    return {
        "engine": "postgresql",
        "host": _HOST,
        "port": port,
        "database": DATABASE,
        "user": SINK_USER,
        "password_file": str(_secret(stack, "sink-password", password)),
        "password_reference": f"${{file:{for_connect}:sink.password}}",
    }


def _secret(stack: LocalStack, name: str, words: str) -> Path:
    """A file in the stack's directory that its owner alone reads."""
    file = stack.endpoints.directory / name
    file.touch(mode=0o600)
    file.write_text(words, encoding="utf-8")
    return file


def _until_it_answers(stack: LocalStack, found: Analytics) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(
                host=_HOST, port=found.port, user="postgres", password=found.owner_password, dbname="postgres"
            ).close()
        except psycopg.OperationalError:
            if stack.exit_status(_PROCESS) is not None or time.monotonic() > deadline:
                raise UserError(f"PostgreSQL did not start:\n{log_tail(stack, _PROCESS)}") from None
            time.sleep(0.1)
        else:
            return
