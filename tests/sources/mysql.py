"""A MySQL of the tests' own: a temporary directory, loopback; it ends with its parent.

Debian's stable releases have no MySQL. `make test-mysql` takes one apart into .build/mysql, and its own libraries are
used; else the server of this machine is.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

ROOT = Path(__file__).parents[2] / ".build" / "mysql"
PASSWORD = "of the test's own"
ABSENT = "no MySQL server here: `make test-mysql` fetches one from Debian's unstable release (needs mmdebstrap)"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, with the password of its `root`."""

    host: str
    port: int
    stop: Callable[[], None] = field(default=lambda: None, compare=False)
    start: Callable[[], None] = field(default=lambda: None, compare=False)
    """The same server, its data and its port, for tests that take it away for a while."""

    def connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection as root, committing each statement."""
        return pymysql.connect(host=self.host, port=self.port, user="root", password=PASSWORD, autocommit=True)

    def run(self, *statements: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run statements as root; the rows of the last."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, values or None)
            return list(cursor.fetchall())


def program(root: Path = ROOT) -> list[str | Path] | None:
    """The command that runs the server, without its options; None: there is none (see ABSENT)."""
    if (server := root / "usr/sbin/mysqld").is_file():
        share = root / "usr/share/mysql"
        # By its own loader, since the machine's C library may be an older one.
        return [
            root / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", root / "usr/lib/x86_64-linux-gnu", server,
            "--no-defaults", f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}",
            f"--plugin-dir={root / 'usr/lib/mysql/plugin'}",
        ]  # fmt: skip
    found = shutil.which("mysqld") or shutil.which("mysqld", path="/usr/sbin")
    if found is None or "mariadb" in Path(found).resolve().name:
        return None
    return [found, "--no-defaults"]


@contextmanager
def running(command: Sequence[str | Path], *options: str) -> Iterator[Server]:
    """A new server; `options` such as `--gtid-mode=OFF`."""
    with tempfile.TemporaryDirectory(prefix="cel2crm-mysql-") as folder:
        yield from _running(Path(folder), [*command, *(["--user=root"] if os.geteuid() == 0 else [])], options)


def _running(home: Path, command: Sequence[str | Path], options: Sequence[str]) -> Iterator[Server]:
    accounts = home / "accounts.sql"
    accounts.write_text(f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD.replace(chr(39), chr(39) * 2)}';\n")
    data = f"--datadir={home / 'data'}"
    made = subprocess.run(
        [*command, data, "--initialize-insecure", f"--init-file={accounts}"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with (home / "log").open("ab") as log:
            server = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command, data, f"--socket={home / 's'}", f"--port={port}",
                 "--bind-address=127.0.0.1", "--mysqlx=OFF", "--secure-file-priv=", f"--pid-file={home / 'pid'}",
                 "--server-id=7", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--performance-schema=OFF",
                 "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", *options],
                stdout=log, stderr=log, cwd=home,
            )  # fmt: skip
        servers.append(server)
        _wait(server, port, home / "log")

    def stop() -> None:
        while servers:
            server = servers.pop()
            server.terminate()
            server.wait(60)

    try:
        start()
        yield Server("127.0.0.1", port, stop, start)
    finally:
        stop()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while True:
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="root", password=PASSWORD).close()
        except pymysql.err.OperationalError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
