"""A PBX database, topics and settings of a test's own on the shared stack."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pymysql
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient

from connectors.apply import connect_client
from connectors.source import FOLDER, connector_name
from connectors.topics import apply_topics
from deploy.local import LocalStack
from streams.settings import Settings

NUMBERS = itertools.count(1)

TABLE = Path(__file__).parents[2] / "deploy" / "local" / "freepbx_cel.sql"

TEXTS = (
    "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame", "appname", "appdata",
    "accountcode", "peer", "userdeftype", "extra", "userfield",
)  # fmt: skip


class Installation:
    """One PBX named `name`, with a database and a capture user of the same name."""

    def __init__(self, stack: LocalStack, **database: Any) -> None:
        self.stack = stack
        at = stack.endpoints
        self.name = f"capture{next(NUMBERS)}"
        self.settings = Settings.model_validate(
            {
                "pbx": {"name": self.name},
                "database": {
                    "host": at.mariadb_host, "port": at.mariadb_port, "user": self.name, "name": self.name,
                    "password": at.secret("cel.password"), **database,
                },
                "kafka": {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": self.name, "partitions": 4},
                "connect": {
                    "url": at.connect_url, "password_reference": f"${{file:{at.secrets_file}:cel.password}}",
                },
                "registry": {"url": at.registry_url},
            }
        )  # fmt: skip
        self.topic = self.settings.kafka.topic("cel")

    def changed(self, section: str, **values: Any) -> Settings:
        """The settings with some of one section's changed."""
        branch = getattr(self.settings, section)
        return self.settings.model_copy(update={section: branch.model_copy(update=values)})

    def root(self, *statements: str, values: Sequence[Any] = (), charset: str = "utf8mb4") -> list[Any]:
        """Run statements as root; the rows of the last."""
        at = self.stack.endpoints
        connection = pymysql.connect(
            host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True,
            charset=charset,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def make_database(self, linkedid: str = "linkedid") -> None:
        """FreePBX's table, and the user exactly as its engine's capture_user.sql makes it, under this test's names."""
        table = statements(TABLE.read_text(encoding="utf-8"))
        create = next(each for each in table if each.lower().startswith("create table"))
        create = create.replace("asteriskcdrdb.", "")
        password = self.stack.endpoints.secret("cel.password")
        user = (FOLDER / self.settings.database.engine / "capture_user.sql").read_text(encoding="utf-8")
        user = user.replace("'cel2crm'", f"'{self.name}'").replace("asteriskcdrdb.", f"{self.name}.")
        self.root(
            f"CREATE DATABASE {self.name}",
            f"USE {self.name}",
            create,
            *([f"ALTER TABLE cel CHANGE linkedid {linkedid} varchar(32) NOT NULL"] if linkedid != "linkedid" else []),
            *(statements(user) * 2),  # running it again changes nothing
            f"ALTER USER '{self.name}'@'%' IDENTIFIED BY '{password}' ACCOUNT UNLOCK",
        )

    def insert(self, linkedids: Sequence[str], column: str = "linkedid") -> None:
        """One row each, in one transaction a row."""
        names = ["eventtype", "eventtime", "amaflags", "uniqueid", column, *TEXTS]
        marks = ", ".join(["%s"] * len(names))
        for linkedid in linkedids:
            values = ["CHAN_START", "2026-11-24 01:02:03", 3, linkedid, linkedid, *[""] * len(TEXTS)]
            self.root(f"INSERT INTO {self.name}.cel ({', '.join(names)}) VALUES ({marks})", values=values)

    async def empty_topic(self, topic: str) -> None:
        """Delete every record of a topic of one partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_topics([topic])
        finally:
            await admin.close()
        async with asyncio.timeout(30):
            while topic not in await self._made_topics():  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def _made_topics(self) -> list[str]:
        return [change.topic for change in await apply_topics(self.settings) if change.action == "create"]

    async def purge_binlogs(self) -> None:
        """Leave only a new binlog file.

        MariaDB keeps a file while a replica's session reads it, one that has ended too, or its checkpoint is not done.
        """
        self.root("FLUSH BINARY LOGS")
        last = self.root("SHOW BINARY LOGS")[-1][0]
        readers = "SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'"
        async with asyncio.timeout(30):
            while len(self.root("SHOW BINARY LOGS")) > 1:
                for (session,) in self.root(readers):
                    with contextlib.suppress(pymysql.MySQLError):  # it has ended
                        self.root(f"KILL {session}")
                self.root(f"PURGE BINARY LOGS TO '{last}'")
                await asyncio.sleep(0.1)

    async def records(self, count: int, topic: str | None = None) -> list[ConsumerRecord]:
        """The first `count` records of a topic; fails when they do not come."""
        consumer = AIOKafkaConsumer(
            topic or self.topic, bootstrap_servers=self.settings.kafka.bootstrap_servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            while len(found) < count:
                batch = await consumer.getmany(timeout_ms=60_000)
                assert batch, f"{len(found)} of {count} records came within a minute"
                found += [record for records in batch.values() for record in records]
        finally:
            await consumer.stop()
        return found


@contextlib.asynccontextmanager
async def installed(
    stack: LocalStack, linkedid: str = "linkedid", topics: bool = True, **database: Any
) -> AsyncIterator[Installation]:
    """An installation with database and topics; its connector is deleted at the end."""
    installation = Installation(stack, **database)
    installation.make_database(linkedid)
    if topics:
        await apply_topics(installation.settings)
    async with deleted_in_the_end(installation.settings):
        yield installation


@contextlib.asynccontextmanager
async def deleted_in_the_end(settings: Settings) -> AsyncIterator[None]:
    """The settings' connector is deleted at the end of the block."""
    try:
        yield
    finally:
        async with connect_client(settings) as connect:
            await connect.delete(connector_name(settings))


def statements(text: str) -> list[str]:
    """The statements of an SQL file, its comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [statement for each in "\n".join(lines).split(";") if (statement := each.strip())]
