"""`cel2crm export` from real brokers: calls and raw rows a second into Parquet, the first time and given again."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from msgspec.structs import replace
from rich.table import Table

from connectors.topics import apply_topics
from streams.analysis.export import Export
from streams.analysis.row_files import RowExport
from streams.clock import MICROS_PER_DAY
from streams.kafka.topic_client import KafkaTopics, Outgoing
from streams.operations import connection
from streams.settings import Settings
from streams.topics import CEL
from tests.bench.pbx_rows import pbx_rows
from tests.connectors.sinking import Sent, send, versions
from tests.faults.recorded_results import recorded_calls

DAYS = 7
_BATCH = 2_000
"""Calls, or rows, that are sent at once."""


def measure(settings: Settings, directory: Path, calls: int, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of wall clock and of this process's CPU, twice each."""
    say(f"writing {calls} calls and {rows} rows")
    legs = asyncio.run(_prepare(settings, calls, rows))
    found: dict[str, Any] = {"calls": calls, "legs": legs, "rows": rows, "runs": []}
    for what, run in (("calls", _calls), ("raw rows", _rows)):
        for time_of in ("first time", "given again"):
            say(f"measuring: {what}, {time_of}")
            wall, cpu = time.monotonic(), time.process_time()
            asyncio.run(run(settings, directory))
            seconds, cpu_seconds = time.monotonic() - wall, time.process_time() - cpu
            found["runs"].append({"what": what, "time": time_of, "seconds": seconds, "cpu_seconds": cpu_seconds})
    files = list(directory.rglob("*.parquet"))
    found["megabytes"] = sum(each.stat().st_size for each in files) / 1e6
    return found


def show(measured: dict[str, Any]) -> Table:
    """A line each run."""
    title = f"export: {measured['calls']:,} calls with {measured['legs']:,} legs, {measured['rows']:,} raw rows"
    table = Table("what", "time", "wall clock", "CPU", "a second", title=title)
    for each in measured["runs"]:
        count = measured["rows"] if each["what"] == "raw rows" else measured["calls"]
        rate = f"{count / each['seconds']:,.0f}"
        table.add_row(each["what"], each["time"], f"{each['seconds']:.1f} s", f"{each['cpu_seconds']:.1f} s", rate)
    return table


async def _calls(settings: Settings, directory: Path) -> None:
    async with connection.connect(settings) as connected:
        await Export(connected, directory).run(lambda _: None)


async def _rows(settings: Settings, directory: Path) -> None:
    async with connection.connect(settings) as connected:
        await RowExport(connected, directory).run(lambda _: None)


async def _prepare(settings: Settings, calls: int, rows: int) -> int:
    """The number of legs."""
    await apply_topics(settings)
    recorded = recorded_calls()
    count = 0
    for first in range(0, calls, _BATCH):
        batch: list[Sent] = []
        for number in range(first, min(calls, first + _BATCH)):
            result, legs = recorded[number % len(recorded)]
            moved = number % DAYS * MICROS_PER_DAY
            told = [replace(each, call_id=f"pbx1/{number}") for each in legs]
            count += len(told)
            began, ended = result.started_at - moved, result.ended_at - moved
            batch += versions(
                result, told, result.version, 0, call_id=f"pbx1/{number}", started_at=began, ended_at=ended
            )
        await send(settings, batch)
    async with KafkaTopics(settings.kafka) as topics:
        name, waiting = settings.kafka.topic(CEL), list[Outgoing]()
        for row in pbx_rows(rows, "all"):
            waiting.append(Outgoing(name, row["linkedid"].encode(), orjson.dumps(row)))
            if len(waiting) == _BATCH:
                await topics.send(waiting)
                waiting = []
        await topics.send(waiting)
    return count
