"""Results into a database by the JDBC sink: records a second, from the creation of the connector to the last row."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rich.table import Table

from connectors.sinks.apply import apply_sink
from connectors.topics import apply_topics
from deploy.local import LocalStack
from streams.settings import Settings
from tests.connectors.sinking import (
    GRANTS,
    Run,
    Sent,
    mariadb_database,
    postgresql_database,
    send,
    settings_of,
    tables_of,
    versions,
)
from tests.faults.recorded_results import recorded_calls
from tests.sources import postgresql

_BATCH = 5_000
"""Results that are sent at once."""


def measure(stack: LocalStack, results: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Into MariaDB, and into PostgreSQL where it is installed."""
    found = []
    with ExitStack() as open_things:
        databases: dict[str, tuple[dict[str, Any], Run]] = {}
        databases["mariadb"] = open_things.enter_context(mariadb_database(stack))
        if (programs := postgresql.programs()) is not None:
            _, sink, run = open_things.enter_context(postgresql_database(programs))
            databases["postgresql"] = sink, run
        settings = settings_of(stack, "bench", [{**sink, "parts": ["results"]} for sink, _ in databases.values()])
        say(f"writing {results} results")
        asyncio.run(_prepare(settings, results))
        for engine, (_, run) in databases.items():
            say(f"measuring: {engine}")
            for statement in [*tables_of(engine), *GRANTS[engine]]:
                run(statement)
            seconds = asyncio.run(_take(settings, engine, run, results))
            found.append({"engine": engine, "results": results, "seconds": seconds})
    return found


def show(measured: list[dict[str, Any]]) -> Table:
    """A line each."""
    table = Table("database", "results", "wall clock", "results/s", title="JDBC sink")
    for each in measured:
        rate = f"{each['results'] / each['seconds']:,.0f}"
        table.add_row(each["engine"], f"{each['results']:,}", f"{each['seconds']:.0f} s", rate)
    return table


async def _prepare(settings: Settings, results: int) -> None:
    await apply_topics(settings)
    recorded = [result for result, _ in recorded_calls()]
    for first in range(0, results, _BATCH):
        batch: list[Sent] = []
        for number in range(first, min(results, first + _BATCH)):
            result = recorded[number % len(recorded)]
            batch += versions(result, (), result.version, 0, call_id=f"{result.pbx}/{number}")
        await send(settings, batch)


async def _take(settings: Settings, engine: str, run: Run, results: int) -> float:
    """Seconds until every result has its row."""
    began = time.monotonic()
    await apply_sink(settings, engine, lambda _: None)
    while run("select count(*) as n from call_results")[0]["n"] < results:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    return time.monotonic() - began
