"""A PostgreSQL of the tests' own: Debian's programs, a temporary directory, loopback; it ends with its parent."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

PASSWORD = "of the test's own"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens; the superuser is `postgres`."""

    host: str
    port: int
    stop: Callable[[], None] = field(default=lambda: None, compare=False)
    start: Callable[[], None] = field(default=lambda: None, compare=False)
    """The same server, its data and its port, for tests that take it away for a while."""

    def run(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(
            host=self.host, port=self.port, user="postgres", password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())


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


def _running(home: Path, bin_folder: Path, options: Sequence[str]) -> Iterator[Server]:
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    words = home / "password"
    words.write_text(PASSWORD, encoding="utf-8")
    for each in (home, words):
        shutil.chown(each, user)
    run_as = {"user": user} if os.geteuid() == 0 else {}
    made = subprocess.run(
        [bin_folder / "initdb", "-D", home / "data", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={words}",
         "--encoding=UTF8", "--locale=C", "--no-sync"],
        check=False, capture_output=True, text=True, cwd=home, **run_as,  # type: ignore[call-overload]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with (home / "log").open("ab") as log:
            server = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", bin_folder / "postgres", "-D", home / "data", "-p", str(port),
                 "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={home}", "-c", "fsync=off",
                 *(word for option in options for word in ("-c", option))],
                stdout=log, stderr=log, cwd=home, **run_as,  # type: ignore[call-overload]
            )  # fmt: skip
        servers.append(server)
        _wait(server, port, home / "log")

    def stop() -> None:
        while servers:
            server = servers.pop()
            server.send_signal(2)  # SIGINT: fast shutdown
            server.wait(30)

    try:
        start()
        yield Server("127.0.0.1", port, stop, start)
    finally:
        stop()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="postgres", password=PASSWORD, dbname="postgres").close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
