"""An aggregate worker while rows come one by one: CPU a row, and how long after its last row a call has its result.

A webhook worker delivers the calls meanwhile: how long after its last row a call stands in the CRM, and what it takes.
Beside them aiokafka's consumer alone, which fetches the same rows in the same rounds and throws them away: what a row
costs before anything is done with it.
"""

import asyncio
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import psutil
from aiokafka import AIOKafkaProducer
from rich.table import Table

from tests.bench.pbx_rows import pbx_rows
from tests.bench.portals import FAST
from tests.bench.subjects import READY, subject_command
from tests.bench.usage import cpu_seconds, resident_mb
from tests.worker_installation import Installation, Tail
from tests.workers.deliver.crm_installation import CrmInstallation

Measurement = dict[str, Any]

RATES = (50, 200, 1_000, 1_500)
CHECKPOINTS = {"flush_seconds": 5.0, "snapshot_seconds": 60.0}
PARTITIONS = 6
REST_SECONDS = 3.0
"""After the last row: its call settles and is delivered, and the last checkpoint is written."""
ALONE_SECONDS = 15.0
"""At most so many of aiokafka alone, which does the same in each."""
CRM = "webhook"


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
            installation = CrmInstallation(servers, registry, own, prefix, CHECKPOINTS, PARTITIONS)
            installation.crm, installation.portal_fields = CRM, {"rate_limit": FAST}
            installations.append(installation)
        alone = asyncio.run(_aiokafka_alone(installations[0], rate, min(seconds, ALONE_SECONDS)))
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


async def _at(installation: CrmInstallation, rate: int, seconds: float) -> Measurement:
    async with installation:
        workers = [installation.start_worker(name) for name in ("aggregate", CRM)]
        for worker in workers:
            await installation.until_taken_over(worker)
        aggregate, delivery = (psutil.Process(worker.pid) for worker in workers)
        before = cpu_seconds(delivery)
        figures, ended = await one_by_one(installation, aggregate, rate, seconds)
        cpu = cpu_seconds(delivery) - before
        received = {
            str(entry.external_id).rpartition("/")[2]: datetime.fromisoformat(entry.received_at).timestamp() * 1000
            for entry in installation.portal.entries()
        }
        return figures | {
            "delivered": len(received),
            "delivery_cpu_ms_per_call": cpu / len(received) * 1000,
            "delivery_megabytes": resident_mb(delivery),
            **_percentiles("crm_", _since(ended, received)),
        }


async def one_by_one(
    installation: Installation, process: psutil.Process, rate: int, seconds: float
) -> tuple[Measurement, Mapping[str, int]]:
    """Rows for a worker that holds all partitions: what they gave, and when each call ended (`_ended`)."""
    rows, before = round(rate * seconds), cpu_seconds(process)
    await _produce(installation, rows, rate)
    await asyncio.sleep(REST_SECONDS)
    cpu, megabytes = cpu_seconds(process) - before, resident_mb(process)
    ended = await _ended(installation)
    delays = _since(ended, await _first_results(installation))
    figures = {
        "rows_per_second": rate,
        "rows": rows,
        "results": len(delays),
        "cpu_us_per_row": cpu / rows * 1e6,
        **_percentiles("", delays),
        "megabytes": megabytes,
    }
    return figures, ended


def _percentiles(prefix: str, delays: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(delays, n=100)
    return {f"{prefix}p50_ms": statistics.median(delays), f"{prefix}p95_ms": cuts[94], f"{prefix}p99_ms": cuts[98]}


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


async def _ended(installation: Installation) -> dict[str, int]:
    """By linkedid: when its LINKEDID_END was written (Unix milliseconds)."""
    async with Tail(installation.bootstrap_servers, installation.topic("cel")) as rows:
        return {
            record.key.decode(): record.timestamp
            for record in await rows.everything()
            if b'"LINKEDID_END"' in record.value
        }


async def _first_results(installation: Installation) -> dict[str, int]:
    """By linkedid: when its first result was written (Unix milliseconds)."""
    written: dict[str, int] = {}
    async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
        for record in await results.everything():
            written.setdefault(record.key.decode().rpartition("/")[2], record.timestamp)
    return written


def _since(began: Mapping[str, float], then: Mapping[str, float]) -> list[float]:
    """Milliseconds of each call that both know, those left out that had a result before their end."""
    return [at - began[call] for call, at in then.items() if call in began and at >= began[call]]


def show(measured: Sequence[Measurement]) -> Table:
    """A line for each rate."""
    table = Table(
        "rows/s", "CPU a row", "aiokafka alone", "memory", "row to result p50", "p99", "row to CRM p50", "p99",
        "CPU a delivery", title="Rows one by one"
    )  # fmt: skip
    for each in measured:
        table.add_row(
            f"{each['rows_per_second']:,}",
            f"{each['cpu_us_per_row']:.0f} us",
            f"{each['aiokafka_alone_us_per_row']:.0f} us",
            f"{each['megabytes']:.0f} MB",
            *(f"{each[name]:.0f} ms" for name in ("p50_ms", "p99_ms", "crm_p50_ms", "crm_p99_ms")),
            f"{each['delivery_cpu_ms_per_call']:.1f} ms",
        )
    return table
