"""Three PBXs on one broker: MariaDB, PostgreSQL, and one in another time zone, with one settings file."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from connectors.apply import connect_client
from connectors.source import connector_name
from deploy.demo.recordings import read_recordings
from deploy.local import LocalStack
from schemas import SchemaRegistry
from streams.cli.command_line import command_line
from streams.kafka.topic_client import KafkaTopics
from streams.settings import Settings, load_settings
from tests.connectors.installation import Installation
from tests.connectors.postgresql_installation import PostgreSqlInstallation
from tests.sources import postgresql

CASE = next(case for case in read_recordings() if len(case.linkedids) == 1 and len(case.rows) > 15)
BEHIND = timedelta(hours=5)
"""New York's clock in November to UTC, which the recording has."""


class Pbxs:
    """One settings file, the PBXs' databases, and workers of their own processes."""

    def __init__(self, stack: LocalStack, server: postgresql.Server, folder: Path) -> None:
        self.first, self.branch = Installation(stack), PostgreSqlInstallation(stack, server)
        self.far = Installation(stack)
        self.folder, self.file = folder, folder / "cel2crm.yaml"
        self.password = folder / "password"
        self.password.write_text(stack.endpoints.secret("cel.password"), encoding="utf-8")
        at, tree = stack.endpoints, self.first.settings
        database = {
            "host": at.mariadb_host, "port": at.mariadb_port, "user": self.first.name, "name": self.first.name,
            "password_file": str(self.password),
        }  # fmt: skip
        self.reference = tree.connect.password_reference
        self.tree: dict[str, Any] = {
            "pbx": {"name": self.first.name},
            "database": database,
            "kafka": {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": self.first.name, "partitions": 2},
            "connect": {"url": at.connect_url, "password_reference": self.reference},
            "registry": {"url": at.registry_url},
            "aggregate": {"flush_seconds": 0.5, "snapshot_seconds": 0.5},
            "logging": {"format": "json"},
        }
        self.file.write_text("# ours\n" + yaml.safe_dump(self.tree, sort_keys=False), encoding="utf-8")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.case = CASE.moved(int(time.time()))  # a call that is older than the grace time is none for the worker
        self.linkedid = self.case.linkedids[0]

    @property
    def settings(self) -> Settings:
        return load_settings(self.file)

    async def run(self, *words: str) -> Result:
        """A command, in a thread: it has an event loop of its own."""
        app = command_line(words[0])
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*words, "--settings", str(self.file)]))

    async def well(self, *words: str) -> str:
        done = await self.run(*words)
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"
        return str(done.output)

    async def add(self, pbx: Installation, *words: str) -> str:
        """`cel2crm pbx add` with what its database needs."""
        at = pbx.settings.database
        return await self.well(
            "pbx", "add", pbx.name, "--engine", at.engine, "--host", at.host, "--port", str(at.port), "--user", at.user,
            "--database", at.name, "--password-file", str(self.password), "--password-reference", self.reference,
            "--yes", *words,
        )  # fmt: skip

    def start_worker(self, *kinds: str) -> subprocess.Popen[bytes]:
        """`cel2crm worker aggregate`, and further kinds in its process, with the settings as they are now."""
        number = len(self.workers)
        file = self.folder / f"worker-{number}.yaml"
        file.write_text(self.file.read_text(encoding="utf-8"), encoding="utf-8")
        command = [sys.executable, "-m", "streams.cli.main", "worker", "aggregate", *kinds, "--settings", str(file)]
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            self.workers.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.workers[-1]

    def log_of(self, worker: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.workers.index(worker)}.log").read_text(encoding="utf-8")

    async def until(self, worker: subprocess.Popen[bytes], words: str, times: int = 1) -> None:
        """Wait until a worker has logged this so often."""
        async with asyncio.timeout(60):
            while self.log_of(worker).count(words) < times:
                assert worker.poll() is None, self.log_of(worker)[-2000:]
                await asyncio.sleep(0.1)

    def write_call(self, pbx: Installation) -> None:
        """Write the rows of the recorded call into a PBX's table."""
        for row in self.case.rows:
            self.write_row(pbx, row)

    def write_row(self, pbx: Installation, row: Mapping[str, str]) -> None:
        """Write a row into a PBX's table, by its own clock."""
        behind = BEHIND if pbx is self.far else timedelta(0)
        moment = datetime.fromisoformat(row["eventtime"][:19]) - behind
        told = {**row, "eventtime": moment.strftime("%Y-%m-%d %H:%M:%S")}
        if isinstance(pbx, PostgreSqlInstallation):
            pbx.insert_row(told)
            return
        marks = ", ".join(["%s"] * len(told))
        insert = f"INSERT INTO {pbx.name}.cel ({', '.join(told)}) VALUES ({marks})"  # noqa: S608
        pbx.root(insert, values=list(told.values()))

    async def results(self, count: int) -> dict[str, dict[str, Any]]:
        """The newest result of each call, as soon as there are so many calls with all their rows."""
        topic = self.settings.kafka.topic("call-results")
        async with SchemaRegistry(self.settings.registry.url) as registry, KafkaTopics(self.settings.kafka) as topics:
            serializer = await registry.register({topic: "call_result"})
            until = time.monotonic() + 60
            while True:
                found = {
                    told["call_id"]: told
                    async for record in topics.read(topic)
                    if (told := serializer.decode(record.value or b"", "call_result"))
                }
                whole = [each for each in found.values() if each["version_rows"] == len(CASE.rows)]
                if len(whole) == count:
                    return found
                assert time.monotonic() < until, found
                await asyncio.sleep(0.3)


@contextlib.asynccontextmanager
async def deleting_connectors(pbxs: Pbxs) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for each in pbxs.settings.each_pbx():
            async with connect_client(each) as connect:
                await connect.delete(connector_name(each))
