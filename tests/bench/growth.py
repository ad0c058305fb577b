"""A real aggregate worker with many calls in its memory: what it takes, and how long the next owner needs.

Rows of calls of FreePBX's size, so many calls a second by the rows' own times, all of them on the topic before the
worker begins: calls that ended stay for the grace time of stream time.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from aiokafka import TopicPartition
from rich.table import Table

from streams.kafka.admin import KafkaAdmin
from tests.bench.pbx_rows import pbx_rows
from tests.bench.usage import cpu_seconds, resident_mb
from tests.worker_installation import Installation, Row

Measurement = dict[str, Any]

PARTITIONS = 6
ROWS_A_CALL = 27
GRACE_SECONDS = 900
LOOK_SECONDS = 0.5
LIMIT_SECONDS = 900.0


def measure(
    servers: str, registry: str, directory: Path, rates: Sequence[int], say: Callable[[str], None]
) -> list[Measurement]:
    """Each number of calls a second with topics of its own."""
    found = []
    for rate in rates:
        prefix = f"grow{uuid.uuid4().hex[:6]}"
        (own := directory / prefix).mkdir()
        installation = Installation(servers, registry, own, prefix, {"flush_seconds": 5.0}, PARTITIONS)
        found.append(asyncio.run(_with(installation, rate, say)))
    return found


async def _with(installation: Installation, calls_per_second: int, say: Callable[[str], None]) -> Measurement:
    rows = calls_per_second * ROWS_A_CALL * (GRACE_SECONDS + 60)
    async with installation:
        say(f"writing {rows:,} rows of {calls_per_second} calls a second")
        await installation.produce(_in_stream_time(rows, calls_per_second))
        say(f"reading {rows:,} rows of {calls_per_second} calls a second")
        worker = installation.start_worker(instance="one")
        process, began = psutil.Process(worker.pid), time.monotonic()
        await installation.until_taken_over(worker)
        most = await _until_committed(installation, process, rows)
        seconds, cpu = time.monotonic() - began, cpu_seconds(process)
        worker.kill()
        await asyncio.to_thread(worker.wait)
        say(f"taking over the calls of {calls_per_second} calls a second")
        began = time.monotonic()
        successor = installation.start_worker(instance="one")
        process = psutil.Process(successor.pid)
        await installation.until_taken_over(successor, seconds=LIMIT_SECONDS)
        taken_over = time.monotonic() - began
        return {
            "calls_per_second": calls_per_second,
            "rows": rows,
            "kept_calls": calls_per_second * GRACE_SECONDS,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "megabytes": most,
            "take_over_seconds": taken_over,
            "take_over_cpu_seconds": cpu_seconds(process),
            "taken_over_megabytes": resident_mb(process),
        }


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


def show(measured: Sequence[Measurement]) -> Table:
    """A line for each number of calls a second."""
    table = Table("calls/s", "kept calls", "rows", "rows/CPU s", "MB", "take-over", title="Calls in a real worker")
    for each in measured:
        table.add_row(
            f"{each['calls_per_second']:,}",
            f"{each['kept_calls']:,}",
            f"{each['rows']:,}",
            f"{each['rows'] / each['cpu_seconds']:,.0f}",
            f"{each['megabytes']:.0f}",
            f"{each['take_over_seconds']:.1f} s, {each['take_over_cpu_seconds']:.1f} s of CPU, "
            f"{each['taken_over_megabytes']:.0f} MB",
        )
    return table
