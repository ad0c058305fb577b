"""A real aggregate worker with many calls in its memory: what it takes, and how long the next owner needs.

Kept calls: rows of calls of FreePBX's size, so many calls a second by the rows' own times, for 16 minutes: calls that
ended stay for the grace time of stream time. Open calls: rows of so many calls in turn, of which few or none end. All
of them are on the topic before the worker begins.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from aiokafka import TopicPartition
from rich.table import Table

from streams.kafka.admin import KafkaAdmin
from streams.kafka.bounded_reader import BoundedReader
from tests.bench.pbx_rows import pbx_rows
from tests.bench.usage import cpu_seconds, resident_mb
from tests.worker_installation import Installation, Row

Measurement = dict[str, Any]

PARTITIONS = 6
ROWS_A_CALL = 27
GRACE_SECONDS = 900
CHECKPOINTS = {"flush_seconds": 5.0, "snapshot_seconds": 60.0}
OPEN_CALLS = (100, 1_000, 10_000)
FEW_ROWS = 200_000
"""At least so many are read."""
LOOK_SECONDS = 0.5
LIMIT_SECONDS = 900.0


class _Load(NamedTuple):
    """The rows of a measurement."""

    what: str
    figures: Measurement
    rows: Iterator[Row]


def measure(
    servers: str,
    registry: str,
    directory: Path,
    rates: Sequence[int],
    open_calls: Sequence[int],
    say: Callable[[str], None],
) -> Mapping[str, list[Measurement]]:
    """Each number of calls a second, and of open calls, with topics of its own."""

    def measured(load: _Load) -> Measurement:
        prefix = f"grow{uuid.uuid4().hex[:6]}"
        (own := directory / prefix).mkdir()
        return asyncio.run(_with(Installation(servers, registry, own, prefix, CHECKPOINTS, PARTITIONS), load, say))

    return {"kept": [measured(_kept(rate)) for rate in rates], "open": [measured(_open(count)) for count in open_calls]}


def _kept(rate: int) -> _Load:
    rows = rate * ROWS_A_CALL * (GRACE_SECONDS + 60)
    figures = {"calls_per_second": rate, "kept_calls": rate * GRACE_SECONDS, "rows": rows}
    return _Load(f"{rate} calls a second", figures, _in_stream_time(rows, rate))


def _open(calls: int) -> _Load:
    rows = max(FEW_ROWS, calls * ROWS_A_CALL // 2)
    return _Load(f"{calls:,} open calls", {"open_calls": calls, "rows": rows}, pbx_rows(rows, "freepbx", at_once=calls))


async def _with(installation: Installation, load: _Load, say: Callable[[str], None]) -> Measurement:
    rows = load.figures["rows"]
    async with installation:
        say(f"writing {rows:,} rows: {load.what}")
        await installation.produce(load.rows)
        say(f"reading {rows:,} rows: {load.what}")
        worker = installation.start_worker(instance="one")
        process, began = psutil.Process(worker.pid), time.monotonic()
        await installation.until_taken_over(worker)
        at_start = cpu_seconds(process)
        most = await _until_committed(installation, process, rows)
        seconds, cpu = time.monotonic() - began, cpu_seconds(process) - at_start
        worker.kill()
        await asyncio.to_thread(worker.wait)
        written = await _bytes(installation, "aggregate-checkpoints") / await _bytes(installation, "cel")
        say(f"taking over: {load.what}")
        began = time.monotonic()
        successor = installation.start_worker(instance="one")
        process = psutil.Process(successor.pid)
        await installation.until_taken_over(successor, seconds=LIMIT_SECONDS)
        taken_over = time.monotonic() - began
        return {
            **load.figures,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "megabytes": most,
            "checkpoint_bytes_of_rows": written,
            "take_over_seconds": taken_over,
            "take_over_cpu_seconds": cpu_seconds(process),
            "taken_over_megabytes": resident_mb(process),
        }


async def _bytes(installation: Installation, topic: str) -> int:
    """Of the keys and values that stand on a topic, before their compression."""
    total = 0
    async with BoundedReader(installation.settings.kafka, uncommitted=True) as reader:
        places = [TopicPartition(installation.topic(topic), number) for number in range(installation.partitions)]
        async for records in reader.read(places):
            total += sum(len(record.key or b"") + len(record.value or b"") for record in records)
    return total


def _in_stream_time(rows: int, calls_per_second: int) -> Iterator[Row]:
    """Rows that were committed so many calls a second, the last of them now."""
    first = time.time_ns() // 1_000_000 - rows * 1000 // (calls_per_second * ROWS_A_CALL)
    for number, row in enumerate(pbx_rows(rows, "freepbx")):
        yield {**row, "__source_ts_ms": first + number * 1000 // (calls_per_second * ROWS_A_CALL)}


async def _until_committed(installation: Installation, process: psutil.Process, rows: int) -> float:
    """Wait until all rows are in a checkpoint; the most memory seen, MB."""
    kafka, most = installation.settings.kafka, 0.0
    topic, group = kafka.topic("cel"), kafka.topic("aggregate")
    async with asyncio.timeout(LIMIT_SECONDS), KafkaAdmin(kafka) as admin:
        while True:
            most = max(most, resident_mb(process))
            committed = (await admin.group(group)).committed
            places = [TopicPartition(topic, number) for number in range(installation.partitions)]
            if sum(committed.get(place, 0) for place in places) >= rows:
                return most
            await asyncio.sleep(LOOK_SECONDS)


def tables(measured: Mapping[str, Sequence[Measurement]]) -> list[Table]:
    """A line for each number of calls a second, and of open calls."""
    kept = Table("calls/s", "kept calls", *_COLUMNS, title="Calls in a real worker")
    for each in measured["kept"]:
        kept.add_row(f"{each['calls_per_second']:,}", f"{each['kept_calls']:,}", *_cells(each))
    opened = Table("open calls", *_COLUMNS, title="Open calls in a real worker")
    for each in measured["open"]:
        opened.add_row(f"{each['open_calls']:,}", *_cells(each))
    return [kept, opened]


_COLUMNS = ("rows", "rows/CPU s", "us a row", "MB", "checkpoints of the rows' bytes", "take-over")


def _cells(each: Measurement) -> tuple[str, ...]:
    return (
        f"{each['rows']:,}",
        f"{each['rows'] / each['cpu_seconds']:,.0f}",
        f"{each['cpu_seconds'] / each['rows'] * 1e6:.1f}",
        f"{each['megabytes']:.0f}",
        f"{each['checkpoint_bytes_of_rows']:.3f}",
        f"{each['take_over_seconds']:.1f} s, {each['take_over_cpu_seconds']:.1f} s of CPU, "
        f"{each['taken_over_megabytes']:.0f} MB",
    )
