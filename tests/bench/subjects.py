"""What is measured, each in a process of its own: `python -m tests.bench.subjects NAME ROWS SETTINGS.json`.

Each reads the same rows from the beginning of the same topic and prints one JSON line: rows, seconds and CPU seconds
between the first row and the last.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import faust
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from faust.types import TP, StreamT

from streams.kafka import worker_runtime as runtime
from streams.kafka.group_consumer import LINGER_BYTES
from streams.kafka.zstd import use_kept_coders
from streams.settings import Settings
from streams.workers.aggregate.worker import AggregateWorker

READY = "ready\n"
"""What a subject says that is to be started before there are rows."""


class Gauge:
    """Wall clock and CPU time from the first row on."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.seen = 0
        self._began = (0.0, 0.0)

    def count(self, rows: int = 1) -> bool:
        """Rows were taken; True when all are."""
        if not self.seen:
            self._began = (time.monotonic(), time.process_time())
        self.seen += rows
        return self.seen >= self.rows

    def report(self) -> None:
        """Print the measurement."""
        seconds, cpu = time.monotonic() - self._began[0], time.process_time() - self._began[1]
        sys.stdout.buffer.write(orjson.dumps({"rows": self.seen, "seconds": seconds, "cpu_seconds": cpu}) + b"\n")
        sys.stdout.flush()


async def _records(
    settings: Settings, most: int, ready: Callable[[], None] = lambda: None, **options: int
) -> AsyncGenerator[Sequence[ConsumerRecord], None]:
    """Every record of the topic and on, by aiokafka's consumer alone.

    `ready`: called before the first is asked for; `options`: the consumer's.
    """
    topic, kafka = settings.kafka.topic("cel"), settings.kafka
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest", **options)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, each) for each in range(kafka.partitions)])
        await consumer.seek_to_beginning()
        ready()
        while True:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=most)).values():
                yield records
    finally:
        await consumer.stop()


async def bare(settings: Settings, gauge: Gauge) -> None:
    """aiokafka's consumer alone."""
    async with aclosing(_records(settings, 500)) as batches:
        async for records in batches:
            if gauge.count(len(records)):
                break
    gauge.report()


def _say_ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()


async def bare_lingering(settings: Settings, gauge: Gauge) -> None:
    """aiokafka's consumer alone, whose fetches wait at the brokers as the worker's do while rows come one by one."""
    use_kept_coders()
    linger = {"fetch_min_bytes": LINGER_BYTES, "fetch_max_wait_ms": round(settings.worker.linger_seconds * 1000)}
    async with aclosing(_records(settings, 500, _say_ready, **linger)) as batches:
        async for records in batches:
            if gauge.count(len(records)):
                break
    gauge.report()


async def decoded(settings: Settings, gauge: Gauge) -> None:
    """aiokafka's consumer, and each row decoded by orjson."""
    async with aclosing(_records(settings, 500)) as batches:
        async for records in batches:
            for record in records:
                orjson.loads(record.value)
            if gauge.count(len(records)):
                break
    gauge.report()


async def plain_fold(settings: Settings, gauge: Gauge) -> None:
    """aiokafka and orjson, calls folded in dictionaries, one small record a call produced and acknowledged."""
    target = settings.kafka.topic("call-legs")  # no replay reads it
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, linger_ms=20)
    await producer.start()
    calls: dict[tuple[str, str], list[int]] = {}
    sent = []
    async with aclosing(_records(settings, 5_000)) as batches:
        async for records in batches:
            for record in records:
                row = orjson.loads(record.value)
                key = row["__source_name"], row["linkedid"]
                call = calls.setdefault(key, [])
                call.append(row["id"])
                if row["eventtype"] == "LINKEDID_END":
                    value = orjson.dumps([max(call), len(call)])
                    sent.append(await producer.send(target, value, key=record.key))
                    del calls[key]
            if gauge.count(len(records)):
                break
    await asyncio.gather(*sent)
    gauge.report()
    await producer.stop()


async def empty_agent(settings: Settings, gauge: Gauge) -> None:
    """Faust as it comes, with an agent that does nothing."""
    kafka = settings.kafka
    broker = f"kafka://{kafka.bootstrap_servers}"
    app = faust.App(
        f"{kafka.topic_prefix}.empty", broker=broker, web_enabled=False, topic_allow_declare=False, store="memory://"
    )
    app._create_directories = lambda: None  # type: ignore[method-assign]
    topic = app.topic(kafka.topic("cel"), value_type=bytes, value_serializer="raw", key_serializer="raw")
    done = asyncio.Event()

    async def nothing(stream: StreamT[bytes]) -> None:
        async for _ in stream.events():
            if gauge.count():
                gauge.report()
                done.set()

    app.agent(topic, name="nothing")(nothing)
    await app.start()
    await done.wait()
    await app.stop()


class _Counted(AggregateWorker):
    """The worker of the product, counted."""

    def __init__(self, settings: Settings, gauge: Gauge) -> None:
        super().__init__(settings)
        self._gauge = gauge
        self.done = asyncio.Event()

    async def take(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        await super().take(tp, records)
        if self._gauge.count(len(records)):
            await self._producer.drain()
            self._gauge.report()
            self.done.set()


async def aggregate(settings: Settings, gauge: Gauge) -> None:
    """`cel2crm worker aggregate`, until every result is acknowledged."""
    worker = _Counted(settings, gauge)
    app = runtime.make_app(settings, worker)
    await worker.start(app.group)
    await app.start()
    await worker.done.wait()
    await app.stop()
    await worker.stop()


SUBJECTS: dict[str, Callable[[Settings, Gauge], Awaitable[None]]] = {
    "bare aiokafka": bare,
    "aiokafka, orjson": decoded,
    "plain fold": plain_fold,
    "empty Faust agent": empty_agent,
    "aggregate worker": aggregate,
}
ONE_BY_ONE: dict[str, Callable[[Settings, Gauge], Awaitable[None]]] = {"aiokafka alone": bare_lingering}
"""Subjects beside which the worker is measured while rows come one by one."""


def subject_command(name: str, rows: int, settings: Path) -> list[str]:
    """What measures one subject in a process of its own."""
    return [sys.executable, "-W", "ignore", "-m", "tests.bench.subjects", name, str(rows), str(settings)]


def main() -> None:
    """Measure one subject."""
    name, rows, settings = sys.argv[1:]
    tree = orjson.loads(Path(settings).read_bytes())
    asyncio.run((SUBJECTS | ONE_BY_ONE)[name](Settings.model_validate(tree), Gauge(int(rows))))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
