"""A MySQL of the tests' own: a temporary directory, loopback; it ends with its parent.

Debian's stable releases have no MySQL. `make test-mysql` takes one apart into .build/mysql, and its own libraries are
used; else the server of this machine is.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from deploy.local.ports import free_port
from tests.sources.own_server import HOST, PASSWORD, OwnServer, serving

ROOT = Path(__file__).parents[2] / ".build" / "mysql"
ABSENT = "no MySQL server here: `make test-mysql` fetches one from Debian's unstable release (needs mmdebstrap)"


class Server(OwnServer):
    """Its administrator is `root`."""

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

    def words(port: int) -> list[str | Path]:
        return [
            *command, data, f"--socket={home / 's'}", f"--port={port}", f"--bind-address={HOST}", "--mysqlx=OFF",
            "--secure-file-priv=", f"--pid-file={home / 'pid'}", "--server-id=7", "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON", "--performance-schema=OFF", "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", *options,
        ]  # fmt: skip

    port = free_port()
    with serving(home, words, _answers, signal.SIGTERM, port=port) as (stop, start):
        yield Server(HOST, port, stop, start)


def _answers(port: int) -> bool:
    try:
        pymysql.connect(host=HOST, port=port, user="root", password=PASSWORD).close()
    except pymysql.err.OperationalError:
        return False
    return True
