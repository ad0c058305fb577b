"""An aggregate worker while rows come one by one: CPU a row, and how long after its last row a call has its result.

Beside it aiokafka's consumer alone, which fetches the same rows in the same rounds and throws them away: what a row
costs before anything is done with it.
"""

import asyncio
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil
from aiokafka import AIOKafkaProducer
from rich.table import Table

from tests.bench.pbx_rows import pbx_rows
from tests.bench.subjects import READY, subject_command
from tests.bench.usage import cpu_seconds, resident_mb
from tests.worker_installation import Installation, Tail

Measurement = dict[str, Any]

RATES = (50, 200, 1_000, 1_500)
CHECKPOINTS = {"flush_seconds": 5.0, "snapshot_seconds": 60.0}
PARTITIONS = 6
REST_SECONDS = 3.0
"""After the last row: its call settles, and the last checkpoint is written."""


def measure(
    servers: str, registry: str, directory: Path, rates: Sequence[int], seconds: float, say: Callable[[str], None]
) -> list[Measurement]:
    """Each rate with a worker of its own, which has nothing else to do."""
    found = []
    for rate in rates:
        say(f"measuring: {rate} rows a second for {seconds:.0f} s")
        installations = []
        for _ in range(2):
            prefix = f"live{uuid.uuid4().hex[:6]}"
            (own := directory / prefix).mkdir()
            installations.append(Installation(servers, registry, own, prefix, CHECKPOINTS, PARTITIONS))
        alone = asyncio.run(_aiokafka_alone(installations[0], rate, seconds))
        found.append(asyncio.run(_at(installations[1], rate, seconds)) | {"aiokafka_alone_us_per_row": alone})
    return found


async def _aiokafka_alone(installation: Installation, rate: int, seconds: float) -> float:
    """CPU microseconds a row, from the first row to the last."""
    settings = installation.directory / "settings.json"
    settings.write_bytes(orjson.dumps(installation.tree))
    async with installation:
        rows = round(rate * seconds)
        command = subject_command("aiokafka alone", rows, settings)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), timeout=60) == READY.encode()
        await _produce(installation, rows, rate)
        told, _ = await asyncio.wait_for(process.communicate(), timeout=60)
    figures = orjson.loads(told.splitlines()[-1])
    return float(figures["cpu_seconds"] / figures["rows"] * 1e6)


async def _at(installation: Installation, rate: int, seconds: float) -> Measurement:
    async with installation:
        worker = installation.start_worker()
        await installation.until_taken_over(worker)
        return await one_by_one(installation, psutil.Process(worker.pid), rate, seconds)


async def one_by_one(installation: Installation, process: psutil.Process, rate: int, seconds: float) -> Measurement:
    """Rows for a worker that holds all partitions, and what they gave."""
    rows, before = round(rate * seconds), cpu_seconds(process)
    await _produce(installation, rows, rate)
    await asyncio.sleep(REST_SECONDS)
    cpu, megabytes = cpu_seconds(process) - before, resident_mb(process)
    delays = await _delays(installation)
    return {
        "rows_per_second": rate,
        "rows": rows,
        "results": len(delays),
        "cpu_us_per_row": cpu / rows * 1e6,
        "p50_ms": statistics.median(delays),
        "p95_ms": statistics.quantiles(delays, n=100)[94],
        "p99_ms": statistics.quantiles(delays, n=100)[98],
        "megabytes": megabytes,
    }


async def _produce(installation: Installation, rows: int, rate: int) -> None:
    topic = installation.topic("cel")
    async with AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers) as producer:
        began, sent = time.monotonic(), []
        for number, row in enumerate(pbx_rows(rows)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            row["__source_ts_ms"] = time.time_ns() // 1_000_000
            record = orjson.dumps(row), row["linkedid"].encode()
            sent.append(await producer.send(topic, record[0], key=record[1]))
        await asyncio.gather(*sent)


async def _delays(installation: Installation) -> list[int]:
    """Milliseconds from the LINKEDID_END to the first result of each call."""
    ended: dict[str, int] = {}
    async with Tail(installation.bootstrap_servers, installation.topic("cel")) as rows:
        for record in await rows.everything():
            if b'"LINKEDID_END"' in record.value:
                ended[record.key.decode()] = record.timestamp
    delays: dict[str, int] = {}
    async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
        for record in await results.everything():
            linkedid = record.key.decode().rpartition("/")[2]
            if linkedid in ended and record.timestamp >= ended[linkedid]:
                delays.setdefault(linkedid, record.timestamp - ended[linkedid])
    return list(delays.values())


def show(measured: Sequence[Measurement]) -> Table:
    """A line for each rate."""
    table = Table(
        "rows/s", "CPU a row", "aiokafka alone", "row to result p50", "p99", "memory", title="Rows one by one"
    )
    for each in measured:
        table.add_row(
            f"{each['rows_per_second']:,}",
            f"{each['cpu_us_per_row']:.0f} us",
            f"{each['aiokafka_alone_us_per_row']:.0f} us",
            f"{each['p50_ms']:.0f} ms",
            f"{each['p99_ms']:.0f} ms",
            f"{each['megabytes']:.0f} MB",
        )
    return table
