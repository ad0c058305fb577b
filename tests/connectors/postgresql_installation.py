"""A PBX in PostgreSQL on the shared stack: database, user, publication and slot as capture_user.sql makes them."""

import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
import psycopg.rows

from connectors.source import FOLDER
from connectors.topics import apply_topics
from deploy.local import LocalStack
from tests.connectors.installation import Installation, deleted_in_the_end
from tests.sources import own_server, postgresql

LOGICAL = ("wal_level=logical", "max_slot_wal_keep_size=1GB", "wal_sender_timeout=5s")

CEL_PGSQL = """
CREATE TABLE cel (
  id serial primary key, eventtype varchar(30) not null, eventtime timestamp not null, userdeftype varchar(255),
  cid_name varchar(80) not null, cid_num varchar(80) not null, cid_ani varchar(80) not null,
  cid_rdnis varchar(80) not null, cid_dnid varchar(80) not null, exten varchar(80) not null,
  context varchar(80) not null, channame varchar(80) not null, appname varchar(80) not null,
  appdata varchar(255) not null, amaflags int not null, accountcode varchar(20) not null,
  uniqueid varchar(150) not null, linkedid varchar(150) not null, peer varchar(80) not null,
  userfield varchar(255), eventextra text)
"""
"""As Asterisk's documentation has it for cel_pgsql, with another name for extra."""


class PostgreSqlInstallation(Installation):
    """See Installation; its server is `server`."""

    def __init__(self, stack: LocalStack, server: postgresql.Server) -> None:
        where = {"engine": "postgresql", "host": server.host, "port": server.port}
        super().__init__(stack, **where, publication="cel2crm", column_name_aliases={"cel_extra": "eventextra"})
        self.server = server

    @property
    def slot(self) -> str:
        """The name of its replication slot."""
        return f"cel2crm_{self.name}"

    def make_database(self, linkedid: str = "linkedid") -> None:
        """The table of cel_pgsql, and capture_user.sql by psql, under this test's names."""
        assert linkedid == "linkedid"
        self.server.run(f"CREATE DATABASE {self.name}")
        self.root(CEL_PGSQL)
        sql = (FOLDER / "postgresql" / "capture_user.sql").read_text(encoding="utf-8")
        sql = re.sub(r"(ROLE|TO|rolname =) ('?)cel2crm\b", rf"\1 \2{self.name}", sql)
        sql = sql.replace("DATABASE asteriskcdrdb", f"DATABASE {self.name}").replace("cel2crm_pbx1", self.slot)
        programs = postgresql.programs()
        assert programs is not None
        for _ in range(2):  # running it again changes nothing
            at = ["-h", self.server.host, "-p", str(self.server.port), "-U", "postgres", "-d", self.name]
            done = subprocess.run(
                [programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *at],
                input=sql, text=True, capture_output=True, check=False,
                env={**os.environ, "PGPASSWORD": own_server.PASSWORD},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        password = self.stack.endpoints.secret("cel.password")
        self.root(f"ALTER ROLE {self.name} LOGIN PASSWORD '{password}'")

    def root(self, *statements: str, values: Sequence[Any] = (), charset: str = "") -> list[Any]:
        """Run statements as the superuser; the rows of the last."""
        found: list[Any] = []
        with psycopg.connect(
            host=self.server.host, port=self.server.port, user="postgres", password=own_server.PASSWORD,
            dbname=self.name, autocommit=True,
        ) as connection:  # fmt: skip
            for statement in statements:
                cursor = connection.execute(statement.encode(), values or None)
                found = cursor.fetchall() if cursor.description else []
        return found

    def insert(self, linkedids: Sequence[str], column: str = "linkedid") -> None:
        """One row each, in one transaction a row."""
        assert column == "linkedid"
        empty = dict.fromkeys(
            ("cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame", "appname",
             "appdata", "accountcode", "peer", "userdeftype", "userfield", "extra"), "",
        )  # fmt: skip
        for linkedid in linkedids:
            told = {"eventtype": "CHAN_START", "eventtime": "2026-11-24 01:02:03.25", "amaflags": 3}
            self.insert_row({**empty, **told, "uniqueid": linkedid, "linkedid": linkedid})

    def insert_row(self, row: Mapping[str, Any]) -> None:
        """A row as Asterisk writes it, its id included where it has one."""
        named = {"eventextra" if name == "extra" else name: value for name, value in row.items()}
        marks = ", ".join(["%s"] * len(named))
        self.root(f"INSERT INTO cel ({', '.join(named)}) VALUES ({marks})", values=list(named.values()))  # noqa: S608


@contextlib.asynccontextmanager
async def installed_in_postgresql(
    stack: LocalStack, server: postgresql.Server
) -> AsyncIterator[PostgreSqlInstallation]:
    """An installation with database and topics; its connector is deleted at the end."""
    installation = PostgreSqlInstallation(stack, server)
    installation.make_database()
    await apply_topics(installation.settings)
    async with deleted_in_the_end(installation.settings):
        yield installation
