"""Real servers with Iceberg's sink in Kafka Connect, a catalog in PostgreSQL, and an installation that fills a lake."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from typer.testing import CliRunner, Result

from connectors.sinks.connected import open_sink, records_behind, sink_connect_client
from connectors.topics import apply_topics
from deploy.local import LocalStack
from deploy.local.download import further_jars
from streams.cli.connectors import app
from streams.settings import Settings, SinkSettings
from tests.connectors.sinking import PASSWORD, USER, settings_of
from tests.operations.conftest import operator, tree
from tests.sources import postgresql

collect_ignore = [] if find_spec("pyiceberg") else ["test_iceberg_servers.py", "test_polars.py"]
"""pyiceberg and Polars stand in no environment of developers: `make test-lake` has one of its own."""

__all__ = ["operator", "tree"]

COMMIT_SECONDS = 2


@dataclass
class Lake:
    """The servers, and the lake's settings."""

    stack: LocalStack
    server: postgresql.Server
    settings: Settings
    warehouse: Path

    @property
    def sink(self) -> SinkSettings:
        """The lake of the settings."""
        return self.settings.sinks[0]

    async def command(self, *words: str) -> Result:
        """`cel2crm connectors` with these words, in a thread: it has an event loop of its own."""
        tree = self.settings.model_dump(mode="json", exclude={"portals"})
        tree["sinks"][0]["password"] = PASSWORD
        file = self.stack.endpoints.directory / "lake.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*words, "--settings", str(file)]))

    async def until_taken(self, *, failing: bool = False) -> None:
        """Wait until every record is confirmed; `failing`: a connector may have failed meanwhile."""
        async with asyncio.timeout(120), open_sink(self.settings, self.sink) as sink:
            for connector in sink.connectors:
                while await records_behind(sink, connector):
                    status = await sink.connect.status(connector.name)
                    assert status is not None and (failing or not status.failures), status
                    await asyncio.sleep(0.5)

    def catalog_properties(self) -> Mapping[str, str]:
        """The catalog as pyiceberg takes it."""
        login = f"{USER}:{quote(PASSWORD, safe='')}"
        return {
            "uri": f"postgresql+psycopg://{login}@{self.server.host}:{self.server.port}/calls",
            "warehouse": f"file://{self.warehouse}",
        }


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """As everybody's, but with Iceberg's sink."""
    with LocalStack(
        parts={"kafka", "registry", "connect"}, plugins=[further_jars("iceberg", lambda _: None)]
    ) as running:
        yield running


@pytest.fixture(scope="module")
async def lake(stack: LocalStack) -> AsyncIterator[Lake]:
    """A lake that nothing has been applied to yet; its user may not make anything."""
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    warehouse = stack.endpoints.directory / "warehouse"
    with postgresql.running(programs) as server:
        quoted = PASSWORD.replace("'", "''")
        server.run(f"create user {USER} password '{quoted}'", "create database calls")
        sink: dict[str, Any] = {
            "engine": "iceberg", "host": server.host, "port": server.port,
            "lake": {"warehouse": f"file://{warehouse}", "commit_seconds": COMMIT_SECONDS},
        }  # fmt: skip
        made = Lake(stack, server, settings_of(stack, "lake", [sink]), warehouse)
        await apply_topics(made.settings)
        yield made
        async with sink_connect_client(made.settings) as connect:
            for name in await connect.names():
                await connect.delete(name)
