"""One aggregate worker with 6, 24 and 96 partitions: what it takes with nothing to do, and with a few rows a second.

Each partition has a transactional producer of its own for its checkpoints.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from tests.bench.live import CHECKPOINTS, one_by_one
from tests.bench.usage import cpu_seconds, resident_mb
from tests.worker_installation import Installation

Measurement = dict[str, Any]

COUNTS = (6, 24, 96)
ROWS_A_SECOND = 50
QUIET_SECONDS = 10.0
"""After the take-over, before what a worker at rest takes is measured."""
REST_SECONDS = 20.0


def measure(
    servers: str, registry: str, directory: Path, counts: Sequence[int], seconds: float, say: Callable[[str], None]
) -> list[Measurement]:
    """Each number of partitions with topics of its own."""
    found = []
    for count in counts:
        say(f"measuring: {count} partitions, {ROWS_A_SECOND} rows a second for {seconds:.0f} s")
        prefix = f"part{uuid.uuid4().hex[:6]}"
        (own := directory / prefix).mkdir()
        installation = Installation(servers, registry, own, prefix, CHECKPOINTS, count)
        found.append(asyncio.run(_with(installation, seconds)))
    return found


async def _with(installation: Installation, seconds: float) -> Measurement:
    async with installation:
        began = time.monotonic()
        worker = installation.start_worker()
        await installation.until_taken_over(worker)
        held_after, process = time.monotonic() - began, psutil.Process(worker.pid)
        at_start = cpu_seconds(process)
        await asyncio.sleep(QUIET_SECONDS)
        before, megabytes = cpu_seconds(process), resident_mb(process)
        await asyncio.sleep(REST_SECONDS)
        idle = (cpu_seconds(process) - before) / REST_SECONDS
        live, _ = await one_by_one(installation, process, ROWS_A_SECOND, seconds)
        return {
            **live,
            "partitions": installation.partitions,
            "held_after_seconds": held_after,
            "start_cpu_seconds": at_start,
            "empty_megabytes": megabytes,
            "threads": process.num_threads(),
            "connections": len([each for each in process.net_connections("tcp") if each.status == "ESTABLISHED"]),
            "idle_cpu": idle,
            "live_cpu": live["cpu_us_per_row"] * ROWS_A_SECOND / 1e6,
        }


def show(measured: Sequence[Measurement]) -> Table:
    """A line for each number of partitions."""
    table = Table(
        "partitions", "held after", "CPU", "memory", "threads", "connections", "idle", f"{ROWS_A_SECOND} rows/s",
        "result p50", "p95", "p99", title="Partitions of one aggregate worker",
    )  # fmt: skip
    for each in measured:
        table.add_row(
            f"{each['partitions']}", f"{each['held_after_seconds']:.1f} s", f"{each['start_cpu_seconds']:.1f} s",
            f"{each['empty_megabytes']:.0f} MB", f"{each['threads']}", f"{each['connections']}",
            f"{each['idle_cpu']:.2%}", f"{each['live_cpu']:.1%}",
            *(f"{each[name]:.0f} ms" for name in ("p50_ms", "p95_ms", "p99_ms")),
        )  # fmt: skip
    return table
