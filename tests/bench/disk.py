"""What calls take on the brokers' disk, topic by topic, compressed and not: rows that come one by one, and a backlog.

Bytes of the segments as they are written, before the cleaner takes superseded checkpoints and deliveries away. One
replica.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from rich.table import Table

from deploy.local import LocalStack
from streams.calls.result import CallResult
from streams.kafka.admin import KafkaAdmin
from streams.kafka.bounded_reader import BoundedReader
from tests.bench.pbx_rows import pbx_rows
from tests.bench.portals import many_results
from tests.worker_installation import Installation, Row
from tests.workers.deliver.crm_installation import CrmInstallation

Measurement = dict[str, Any]

CRM = "bitrix24"
DELIVERED_CALLS = 1_000
COMPRESSED = ("cel", "call-results", "call-legs", f"deliveries-{CRM}")
CHECKPOINTS = {"flush_seconds": 5.0, "snapshot_seconds": 60.0}
WORKER_SECONDS = 300.0


class Way(NamedTuple):
    """How rows are written."""

    name: str
    one_by_one: bool
    compressed: bool


WAYS = (
    Way("one by one, not compressed", one_by_one=True, compressed=False),
    Way("one by one, as declared", one_by_one=True, compressed=True),
    Way("a backlog, not compressed", one_by_one=False, compressed=False),
    Way("a backlog, as declared", one_by_one=False, compressed=True),
)


def measure(stack: LocalStack, directory: Path, rows: int, say: Callable[[str], None]) -> list[Measurement]:
    """Each way with topics of its own, of calls of FreePBX's size; then the log of deliveries."""
    found = []
    for way in WAYS:
        say(f"writing {rows:,} rows {way.name}")
        found.append(asyncio.run(_rows(stack, directory, rows, way)))
    for compressed in (False, True):
        say(f"delivering {DELIVERED_CALLS:,} calls")
        found.append(asyncio.run(_deliveries(stack, directory, compressed)))
    return found


async def _rows(stack: LocalStack, directory: Path, rows: int, way: Way) -> Measurement:
    prefix = f"disk{uuid.uuid4().hex[:6]}"
    (own := directory / prefix).mkdir()
    at = stack.endpoints
    async with Installation(at.bootstrap_servers, at.registry_url, own, prefix, CHECKPOINTS) as installation:
        await _declare(installation, way.compressed)
        written = list(pbx_rows(rows, "freepbx"))
        await (_one_by_one(installation, written) if way.one_by_one else installation.produce(written))
        worker = installation.start_worker()
        await installation.until_taken_over(worker)
        await _until_results_rest(installation)
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
        calls = len({row["linkedid"] for row in written})
        topics = ("cel", "call-results", "call-legs", "aggregate-checkpoints")
        sizes = {topic: _bytes(stack, installation.topic(topic)) for topic in topics}
        return {"what": way.name, "calls": calls, "rows": rows, "bytes": sizes}


async def _deliveries(stack: LocalStack, directory: Path, compressed: bool) -> Measurement:
    prefix = f"disk{uuid.uuid4().hex[:6]}"
    (own := directory / prefix).mkdir()
    at = stack.endpoints
    installation = CrmInstallation(at.bootstrap_servers, at.registry_url, own, prefix)
    installation.crm = CRM
    async with installation:
        await _declare(installation, compressed)
        worker = installation.start_worker(CRM)
        await installation.until_taken_over(worker)
        results: list[CallResult] = list(many_results(DELIVERED_CALLS))
        await installation.produce_results(results)
        await installation.until_over([each.call_id for each in results], seconds=WORKER_SECONDS)
        sizes = {f"deliveries-{CRM}": _bytes(stack, installation.topic(f"deliveries-{CRM}"))}
    what = "deliveries, as declared" if compressed else "deliveries, not compressed"
    return {"what": what, "calls": DELIVERED_CALLS, "rows": 0, "bytes": sizes}


async def _declare(installation: Installation, compressed: bool) -> None:
    if not compressed:
        async with KafkaAdmin(installation.settings.kafka) as admin:
            for name in await admin.topics([installation.topic(each) for each in COMPRESSED]):
                await admin.alter(name, {"compression.type": "uncompressed"})


async def _one_by_one(installation: Installation, rows: Sequence[Row]) -> None:
    """Each row a batch of its own, as Connect writes those of a quiet PBX."""
    topic = installation.topic("cel")
    async with AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers, max_batch_size=1) as producer:
        sent = [await producer.send(topic, orjson.dumps(row), key=row["linkedid"].encode()) for row in rows]
        await asyncio.gather(*sent)


async def _until_results_rest(installation: Installation) -> None:
    """Wait until the group has committed every row."""
    kafka, topic, group = installation.settings.kafka, installation.topic("cel"), installation.topic("aggregate")
    places = [TopicPartition(topic, number) for number in range(installation.partitions)]
    async with BoundedReader(kafka) as reader:
        ends = await reader.ends(places)
    async with asyncio.timeout(WORKER_SECONDS), KafkaAdmin(kafka) as admin:
        while True:
            committed = (await admin.group(group)).committed
            if all(committed.get(place, 0) >= end for place, end in ends.items()):
                return
            await asyncio.sleep(0.5)


def _bytes(stack: LocalStack, topic: str) -> int:
    folders = stack.log("kafka").parent.parent.rglob(f"{topic}-*")
    return sum(file.stat().st_size for folder in folders if folder.is_dir() for file in folder.glob("*.log"))


def show(measured: Sequence[Measurement]) -> Table:
    """A line for each topic of each way; GB for a million calls."""
    table = Table("written", "topic", "calls", "bytes a call", "GB a million calls", title="On disk, one replica")
    for each in measured:
        for topic, size in each["bytes"].items():
            bytes_a_call = size / each["calls"]
            table.add_row(
                each["what"], topic, f"{each['calls']:,}", f"{bytes_a_call:,.0f}", f"{bytes_a_call / 1e3:.1f}"
            )
    return table
