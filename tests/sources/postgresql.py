"""A PostgreSQL of the tests' own: Debian's programs, a temporary directory, loopback; it ends with its parent."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from deploy.local.ports import free_port
from tests.sources.own_server import HOST, PASSWORD, OwnServer, serving


class Server(OwnServer):
    """Its administrator is `postgres`."""

    def run(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(
            host=self.host, port=self.port, user="postgres", password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query of the superuser."""
        with psycopg.connect(
            host=self.host, port=self.port, user="postgres", password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            return connection.execute(query.encode()).fetchall()


def programs() -> Path | None:
    """Where initdb and postgres are; None: PostgreSQL is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def running(bin_folder: Path, *options: str) -> Iterator[Server]:
    """A new server; `options` such as `wal_level=logical`."""
    # Not pytest's own folder: the server's user may not enter that.
    with tempfile.TemporaryDirectory(prefix="cel2crm-postgresql-") as folder:
        yield from _running(Path(folder), bin_folder, options)


@contextmanager
def standby(bin_folder: Path, primary: Server, *options: str) -> Iterator[Server]:
    """A standby of the primary, which follows it over the network.

    It has a port of its own; stopped, and started again, it has the primary's, which has stopped by then.
    """
    with tempfile.TemporaryDirectory(prefix="cel2crm-standby-") as folder:
        home, user = Path(folder), _user()
        shutil.chown(home, user)
        _run(
            [bin_folder / "pg_basebackup", "-D", home / "data", "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
             "-h", primary.host, "-p", str(primary.port), "-U", "postgres"],
            home,
        )  # fmt: skip
        with _serving(home, bin_folder, options, free_port(), primary.port) as server:
            yield server


def _running(home: Path, bin_folder: Path, options: Sequence[str]) -> Iterator[Server]:
    words = home / "password"
    words.write_text(PASSWORD, encoding="utf-8")
    for each in (home, words):
        shutil.chown(each, _user())
    _run(
        [bin_folder / "initdb", "-D", home / "data", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={words}",
         "--encoding=UTF8", "--locale=C", "--no-sync"],
        home,
    )  # fmt: skip
    port = free_port()
    with _serving(home, bin_folder, options, port, port) as server:
        yield server


def _user() -> str:
    # PostgreSQL refuses to run as root.
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _run_as() -> dict[str, Any]:
    return {"user": _user()} if os.geteuid() == 0 else {}


def _run(command: Sequence[str | Path], home: Path) -> None:
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    made = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=home, env=environment, **_run_as()
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@contextmanager
def _serving(home: Path, bin_folder: Path, options: Sequence[str], port: int, later_port: int) -> Iterator[Server]:
    """The server of a data directory, at `port`; started again, at `later_port`."""

    def words(at: int) -> list[str | Path]:
        return [
            bin_folder / "postgres", "-D", home / "data", "-p", str(at), "-c", f"listen_addresses={HOST}",
            "-c", f"unix_socket_directories={home}", "-c", "fsync=off",
            *(word for option in options for word in ("-c", option)),
        ]  # fmt: skip

    fast_shutdown = signal.SIGINT
    with serving(home, words, _answers, fast_shutdown, port=port, later_port=later_port, **_run_as()) as (stop, start):
        yield Server(HOST, port, stop, start)


def _answers(port: int) -> bool:
    try:
        psycopg.connect(host=HOST, port=port, user="postgres", password=PASSWORD, dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
