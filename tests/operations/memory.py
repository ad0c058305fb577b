"""A cluster in memory behind the commands' one seam, and records as the workers write them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from schemas import SchemaRegistry, Serializer, load, names, own_headers, written_as
from schemas.source import Schema
from streams.calls.result import CallResult
from streams.cli import verdict_line
from streams.cli.command_line import command_line
from streams.clock import utc_now_us
from streams.delivery.command_record import Command
from streams.delivery.portal_records import PortalState
from streams.delivery.record import Delivery
from streams.kafka.topic_client import Outgoing, TopicRecord, partition_of
from streams.operations import connection
from streams.operations.connection import Connection, schemas_of
from streams.operations.resolutions import Resolution
from streams.operations.status.facts import Facts, WorkerFacts
from streams.settings import Settings

PARTITIONS = 4


class MemoryRegistry(SchemaRegistry):
    """A registry without a server: the workers' schemas are there, and what is registered is noted."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("http://nowhere")
        self._schemas = schemas_of(settings)
        self._ids = {name: number for number, name in enumerate(names(), start=1)}
        self.registered: list[str] = []
        """Topics whose schema was registered, in order."""

    async def register_schema(self, topic: str, name: str) -> int:
        self.registered.append(topic)
        self._schemas[topic] = name
        return self._ids[name]

    async def versions(self, topic: str) -> list[tuple[int, Schema]]:
        name = self._schemas[topic]
        return [(self._ids[name], load(name))]

    async def schema(self, schema_id: int) -> Schema | None:
        return next((load(name) for name, number in self._ids.items() if number == schema_id), None)

    def worker_serializer(self) -> Serializer:
        """The codec of the workers, who have registered everything."""
        serializer = Serializer(self)
        for name, number in self._ids.items():
            serializer.add_schema(name, number)
        return serializer


@dataclass
class MemoryTopics:
    """See streams.kafka.topic_client.Topics."""

    logs: dict[tuple[str, int], list[TopicRecord]] = field(default_factory=lambda: defaultdict(list))
    readings: list[str] = field(default_factory=list)
    """Topics that were read, in order; from where makes no difference."""
    begins: dict[tuple[str, int], int] = field(default_factory=dict)
    """First offsets, by topic and partition, where retention has removed records."""

    async def partitions(self, topic: str) -> int:
        return PARTITIONS

    async def ends(self, topic: str) -> dict[int, int]:
        return {number: len(self.logs[topic, number]) for number in range(PARTITIONS)}

    async def read(
        self,
        topic: str,
        partitions: Iterable[int] | None = None,
        *,
        start: Mapping[int, int] | None = None,
        since_ms: int | None = None,
    ) -> AsyncIterator[TopicRecord]:
        self.readings.append(topic)
        for number in range(PARTITIONS) if partitions is None else partitions:
            for record in list(self.logs[topic, number])[(start or {}).get(number, 0) :]:
                if record.timestamp_ms >= (since_ms or 0) and record.offset >= self.begins.get((topic, number), 0):
                    yield record

    async def send(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            self.put(record)

    def put(self, record: Outgoing) -> TopicRecord:
        number = partition_of(record.key or b"", PARTITIONS) if record.partition is None else record.partition
        log = self.logs[record.topic, number]
        log.append(
            TopicRecord(record.topic, number, len(log), record.key, record.value, record.headers, utc_now_us() // 1000)
        )
        return log[-1]


class Operator:
    """A person at the command line of an installation in memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = MemoryTopics()
        self.registry = MemoryRegistry(settings)
        self.serializer = self.registry.worker_serializer()
        self.workers: dict[str, WorkerFacts] = {}
        """The workers that the other commands' quick look finds."""
        self.connections = 0
        """How often commands connected."""

    async def connection(self) -> Connection:
        """A connection of its own, as each command makes one."""
        return Connection(self.settings, self.topics, self.registry.reader(schemas_of(self.settings).values()))

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        """A command, in this process."""
        return CliRunner().invoke(command_line(), arguments, input=answer)

    def told(self, *arguments: str, answer: str | None = None) -> str:
        """What a command that works says on standard output."""
        done = self.run(*arguments, answer=answer)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def put(self, topic: str, schema: str, key: str, record: dict[str, Any], **fields: Any) -> TopicRecord:
        value = self.serializer.encode(schema, record)
        fields = {"headers": own_headers(schema), **fields}
        return self.topics.put(Outgoing(self.settings.kafka.topic(topic), key.encode(), value, **fields))

    def delivery(self, delivery: Delivery) -> None:
        """A state in the delivery log."""
        self.put(f"deliveries-{delivery.crm}", "delivery", delivery.call_id, delivery.record())

    def portal_state(self, key: bytes, state: PortalState) -> None:
        """A record about a portal, as its worker writes it."""
        self.put("portal-states", "portal_state", key.decode(), state.record(), partition=0)

    def result(self, result: CallResult) -> TopicRecord:
        """A result on its topic."""
        return self.put("call-results", "call_result", result.call_id, result.record())

    def commands(self) -> list[Command]:
        """What was ordered."""
        return [Command.from_record(each) for each in self._all("delivery-commands", "delivery_command")]

    def resolutions(self) -> list[Resolution]:
        """What is recorded of dead letters."""
        return [Resolution.from_record(each) for each in self._all("dead-letter-resolutions", "dead_letter_resolution")]

    def _all(self, topic: str, schema: str) -> list[dict[str, Any]]:
        name = self.settings.kafka.topic(topic)
        records = [record for number in range(PARTITIONS) for record in self.topics.logs[name, number]]
        return [self.serializer.decode_own(record.value, schema, written_as(record.headers)) for record in records]


def make_operator(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Operator:
    """Every command of this process meets this installation."""
    operator = Operator(settings)

    @asynccontextmanager
    async def connect(settings: Settings) -> AsyncIterator[Connection]:
        operator.connections += 1
        yield await operator.connection()

    async def gather_quickly(settings: Settings) -> Facts:
        return Facts(at=utc_now_us(), workers=operator.workers)

    monkeypatch.setattr(connection, "connect", connect)
    monkeypatch.setattr(verdict_line, "gather_quickly", gather_quickly)
    return operator


class Readable:
    """Breaks reading off ("broken off") after `left` more records, none at first."""

    def __init__(self, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self._whole = operator.topics.read
        monkeypatch.setattr(operator.topics, "read", self._read)

    async def _read(self, topic: str, *arguments: Any, **more: Any) -> AsyncIterator[TopicRecord]:
        async for record in self._whole(topic, *arguments, **more):
            if not self.left:
                raise RuntimeError("broken off")
            self.left -= 1
            yield record
