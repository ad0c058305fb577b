"""MariaDB with a row binlog, as a PBX that may be captured from has it."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pymysql

from deploy.local.parts.part import Part
from deploy.local.ports import HOST

ANSWER_TIMEOUT = 2  # seconds


class MariaDb(Part):
    name = "mariadb"
    ports = ("mariadb",)
    java = False

    @property
    def socket(self) -> Path:
        return self.home / "data" / "s.sock"

    @property
    def _temporary(self) -> str:
        """A folder of its own for temporary tables: a server that starts removes those that others have in the same."""
        return f"--tmpdir={self.home / 'tmp'}"

    def prepare(self) -> None:
        (self.home / "tmp").mkdir(exist_ok=True)
        password = self.site.mariadb_root_password
        accounts = "create or replace user {0} identified by '{1}';\ngrant all on *.* to {0} with grant option;\n"
        start = self.home / "accounts.sql"
        start.touch(mode=0o600)
        # Read at every start; not into the binlog, and nobody else is left to connect without a password.
        start.write_text(
            "set sql_log_bin = 0;\n"  # noqa: S608 - our own words
            + "".join(accounts.format(f"root@'{host}'", password) for host in ("localhost", HOST))
            + "delete from mysql.global_priv where User in ('', 'root') "
            + f"and Host not in ('localhost', '{HOST}');\nflush privileges;\n",
            encoding="utf-8",
        )

    def preparation(self) -> Sequence[str | Path]:
        return [
            executable("mariadb-install-db"),
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
            *_as_root(),
            self._temporary,
            f"--datadir={self.home / 'data'}",
        ]

    def command(self) -> Sequence[str | Path]:
        return [
            executable("mariadbd"),
            "--no-defaults",
            *_as_root(),
            self._temporary,
            f"--datadir={self.home / 'data'}",
            f"--init-file={self.home / 'accounts.sql'}",
            # Relative to the data directory: an absolute one may be too long for the server to bind.
            f"--socket={self.socket.name}",
            f"--bind-address={HOST}",
            f"--port={self.site.ports['mariadb']}",
            "--skip-name-resolve",
            "--server-id=1",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--character-set-server=utf8mb4",
            # Enough for a table of calls, in little memory; a killed server loses nothing, only a machine would.
            "--innodb-log-file-size=16M",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=2",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=4M",
            "--max-connections=60",
            "--performance-schema=OFF",
        ]

    def is_ready(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection as root, committing each statement."""
        return pymysql.connect(
            host=HOST,
            port=self.site.ports["mariadb"],
            user="root",
            password=self.site.mariadb_root_password,
            connect_timeout=ANSWER_TIMEOUT,
            autocommit=True,
        )


def executable(name: str) -> str:
    """The path of a server program, which may be where only root's PATH leads."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") or name


def _as_root() -> list[str]:
    """Root's server stays root's, as the other parts do: told explicitly, or MariaDB refuses.

    Any other user could not enter a checkout below /root.
    """
    return ["--user=root"] if os.geteuid() == 0 else []
