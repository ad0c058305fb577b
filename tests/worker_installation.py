"""An installation of its own on the shared stack: topics under their own prefix, worker processes, their records."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from connectors.topics import apply_topics
from deploy.demo.recordings import read_recordings
from schemas import SchemaRegistry, Serializer
from streams.calls.call import Call, epoch_of
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import RowDecoder
from streams.rules import load_rules
from streams.settings import Settings

Row = dict[str, Any]

_AWAITED_AT_ONCE = 20_000


def recorded_rows(pbx: str = "pbx1") -> list[Row]:
    """The rows of every recording as Debezium delivers them, in the order of their calls' begin."""
    rows = []
    for case in read_recordings():
        for row in case.rows:
            epoch = epoch_of(row["uniqueid"])
            assert epoch is not None
            rows.append(captured(row, pbx, epoch * 1000))
    rows.sort(key=lambda row: row["__source_ts_ms"])
    return [{**row, "id": number} for number, row in enumerate(rows, start=1)]


def captured(row: Mapping[str, Any], pbx: str = "pbx1", commit_ms: int | None = None, op: str = "c") -> Row:
    """A row with what Debezium adds; committed now unless told otherwise."""
    at = time.time_ns() // 1_000_000 if commit_ms is None else commit_ms
    return {**row, "__op": op, "__source_ts_ms": at, "__source_snapshot": None, "__source_name": pbx}


@dataclass
class Installation:
    """Settings, and everything that a test does with them. Use in `async with`."""

    bootstrap_servers: str
    registry_url: str
    directory: Path
    prefix: str
    aggregate: dict[str, float] = field(default_factory=dict)
    partitions: int = 4
    worker: dict[str, Any] = field(default_factory=dict)
    log_level: str = "info"
    _workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def tree(self) -> dict[str, Any]:
        """What stands in the settings file."""
        return {
            "kafka": {
                "bootstrap_servers": self.bootstrap_servers,
                "topic_prefix": self.prefix,
                "partitions": self.partitions,
            },
            "registry": {"url": self.registry_url},
            "aggregate": {"flush_seconds": 0.5, "snapshot_seconds": 0.5, **self.aggregate},
            "logging": {"format": "json", "level": self.log_level},
        }

    @property
    def settings(self) -> Settings:
        """The same, loaded."""
        return Settings(**self.tree)

    async def __aenter__(self) -> Self:
        await apply_topics(self.settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()

    def topic(self, name: str) -> str:
        """The full name of a topic."""
        return self.settings.kafka.topic(name)

    def start_worker(
        self, name: str = "aggregate", *others: str, instance: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `cel2crm worker <name>`; `others`: in the same process; `instance`: its static membership."""
        number = len(self._workers)
        tree = {**self.tree, "worker": {"group_instance_id": instance, **self.worker}}
        file = self.directory / f"settings-{number}.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        command = [sys.executable, "-m", "streams.cli.main", "worker", name, *others, "--settings", str(file)]
        with (self.directory / f"worker-{number}.log").open("wb") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log)
        self._workers.append(worker)
        return worker

    def log_of(self, worker: subprocess.Popen[bytes]) -> str:
        """What a worker has logged."""
        return (self.directory / f"worker-{self._workers.index(worker)}.log").read_text(encoding="utf-8")

    async def until_taken_over(self, *workers: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
        """Wait until these workers hold every partition between them, as they log it."""
        async with asyncio.timeout(seconds):
            while sum(self.log_of(worker).count("partition taken over") for worker in workers) < self.partitions:
                for worker in workers:
                    assert worker.poll() is None, self.log_of(worker)[-2000:]
                await asyncio.sleep(0.1)

    async def produce(self, rows: Iterable[Row | bytes | None], per_second: float | None = None) -> None:
        """Write rows to the CEL topic (bytes and None as they are, under the key `poison`)."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers, linger_ms=5)
        await producer.start()
        try:
            topic = self.topic("cel")
            began, sent = time.monotonic(), []
            for number, row in enumerate(rows):
                if per_second and number % 50 == 0:
                    await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                value, key = (
                    (orjson.dumps(row), row["linkedid"].encode()) if isinstance(row, dict) else (row, b"poison")
                )
                sent.append(await producer.send(topic, value, key=key))
                if len(sent) == _AWAITED_AT_ONCE:
                    await asyncio.gather(*sent)
                    sent.clear()
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def expected(self, rows: Sequence[Row]) -> dict[str, Row]:
        """The result of each call by a pure run over all its rows."""
        return expected_results(self.settings, rows)

    async def serializer(self) -> Serializer:
        """Reads and writes this installation's records."""
        async with SchemaRegistry(self.registry_url) as registry:
            return await registry.register(
                {
                    self.topic("call-results"): "call_result",
                    self.topic("call-legs"): "call_leg",
                    self.topic("dead-letters"): "dead_letter",
                }
            )


NewInstallation = Callable[..., Installation]
"""Of the fixture `install`."""


class Tail:
    """Everything on a topic, as it comes. Use in `async with`."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        self._servers = bootstrap_servers
        self.records: list[ConsumerRecord] = []

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, auto_offset_reset="earliest")
        await self._consumer.start()
        metadata = await self._consumer._client.fetch_all_metadata()
        partitions = [TopicPartition(self._topic, number) for number in metadata.partitions_for_topic(self._topic)]
        self._consumer.assign(partitions)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def everything(self) -> list[ConsumerRecord]:
        """Every record that stands there now."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        await self.until(lambda records: len(records) >= sum(ends.values()))
        return self.records

    async def until_more(self, count: int) -> None:
        """Read until `count` more records have come."""
        enough = len(self.records) + count
        await self.until(lambda records: len(records) >= enough)

    async def until(self, reached: Callable[[list[ConsumerRecord]], bool], seconds: float = 60.0) -> None:
        """Read until the records satisfy `reached`. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not reached(self.records):
                for records in (await self._consumer.getmany(timeout_ms=100)).values():
                    self.records += records


def expected_results(settings: Settings, rows: Iterable[Row]) -> dict[str, Row]:
    """The result of each call by a pure run over all its rows."""
    rules, profile, decoder = load_rules(settings.rules), PbxProfile.of(settings), RowDecoder()
    calls: dict[str, Call] = {}
    for row in rows:
        decoded = decoder.decode(orjson.dumps(row))
        call = calls.setdefault(f"{decoded.pbx}/{decoded.linkedid}", Call(decoded.pbx, decoded.linkedid))
        call.add(decoded)
    return {
        key: classify(call, rules, profile, cut_short=not (call.linkedid_end or call.channels_ended)).result.record()
        for key, call in calls.items()
    }


def last_versions(records: Iterable[ConsumerRecord], serializer: Serializer) -> dict[str, Row]:
    """The highest version of each call; fails where one version stands there with different bytes."""
    seen: dict[tuple[str, int], bytes] = {}
    last: dict[str, Row] = {}
    for record in records:
        result = serializer.decode(record.value, "call_result")
        call_id, version = result["call_id"], result["version"]
        assert record.key == call_id.encode()
        assert seen.setdefault((call_id, version), record.value) == record.value, f"{call_id} {version} has two forms"
        if call_id not in last or last[call_id]["version"] <= version:
            last[call_id] = result
    return last
