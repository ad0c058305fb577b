"""Topics as an operator's command needs them: read up to where they end now, and written with every answer awaited."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from streams.errors import UserError
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.client import MAX_RECORD_BYTES, stop_client, unreachable
from streams.kafka.login import client_options
from streams.kafka.reach import require_reach
from streams.settings import KafkaSettings

Headers = Sequence[tuple[str, bytes | None]]

_ANSWER_SECONDS = 15.0
_BATCH_BYTES = 256 * 1024


class TopicRecord(NamedTuple):
    """A record as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = 0

    @property
    def place(self) -> str:
        """`<topic>/<partition>/<offset>`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Outgoing(NamedTuple):
    """A record to be written. `partition` None: where its key belongs."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers = ()


class Topics(Protocol):
    """Full names throughout. Every method raises UserError: no broker, no such topic."""

    async def partitions(self, topic: str) -> int:
        """The number of its partitions."""
        ...

    async def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last record, by partition."""
        ...

    def read(
        self,
        topic: str,
        partitions: Iterable[int] | None = None,
        *,
        start: Mapping[int, int] | None = None,
        since_ms: int | None = None,
    ) -> AsyncIterator[TopicRecord]:
        """Records that stand there now: committed ones up to the end offsets as of the call, one reading at a time.

        `start`: offsets to begin at; `since_ms`: no record written before (Unix milliseconds) is needed.
        """
        ...

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Write records, and return when the brokers have all of them."""
        ...


def partition_of(key: bytes, partitions: int) -> int:
    """The partition in which aiokafka, and with it every worker, puts a key."""
    known = list(range(partitions))
    return int(DefaultPartitioner()(key, known, known))


class KeyPartitioner:
    """aiokafka's own, which hashes a key in Python: once for a call's result and its legs."""

    def __init__(self) -> None:
        self._partition_of = lru_cache(maxsize=16)(partition_of)

    def __call__(self, key: bytes | None, all_partitions: list[int], available: list[int]) -> int:
        if key is None:
            return int(DefaultPartitioner()(key, all_partitions, available))
        return all_partitions[self._partition_of(key, len(all_partitions))]


class KafkaTopics:
    """The topics of one cluster; use in `async with`. `uncommitted`: see BoundedReader."""

    def __init__(self, kafka: KafkaSettings, *, client_id: str = "cel2crm-operator", uncommitted: bool = False) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._reader = BoundedReader(kafka, client_id=client_id, uncommitted=uncommitted)
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        await require_reach(self._kafka)
        await self._answer(self._reader.__aenter__())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)
        if self._producer is not None:
            await stop_client(self._producer, 5.0)
            self._producer = None

    async def partitions(self, topic: str) -> int:
        """See Topics."""
        count: int = await self._answer(self._reader.partitions(topic))
        if not count:
            raise UserError(
                f"there is no topic {topic}",
                "Make it with cel2crm topics apply, or check kafka.topic_prefix; this login may also not be allowed to "
                "see it (cel2crm topics acls).",
            )
        return count

    async def ends(self, topic: str) -> dict[int, int]:
        """See Topics."""
        asked = [TopicPartition(topic, number) for number in range(await self.partitions(topic))]
        return {each.partition: end for each, end in (await self._answer(self._reader.ends(asked))).items()}

    async def begins(self, topic: str) -> dict[int, int]:
        """The first offset that is still there, by partition. Raises UserError: no broker, no such topic."""
        asked = [TopicPartition(topic, number) for number in range(await self.partitions(topic))]
        return {each.partition: begin for each, begin in (await self._answer(self._reader.begins(asked))).items()}

    async def read(
        self,
        topic: str,
        partitions: Iterable[int] | None = None,
        *,
        start: Mapping[int, int] | None = None,
        since_ms: int | None = None,
    ) -> AsyncIterator[TopicRecord]:
        """See Topics."""
        known = range(await self.partitions(topic))
        wanted = [TopicPartition(topic, number) for number in (known if partitions is None else partitions)]
        starts = {each: start[each.partition] for each in wanted if start and each.partition in start}
        if since_ms is not None:
            written: dict[TopicPartition, int] = await self._answer(self._reader.since(wanted, since_ms))
            starts = {each: max(offset, starts.get(each, 0)) for each, offset in written.items()}
            wanted = list(starts)
        batches = self._reader.read(wanted, starts=starts)
        try:
            async for records in batches:
                for record in records:
                    yield _record_of(record)
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None

    async def send(self, records: Sequence[Outgoing]) -> None:
        """See Topics."""
        if self._producer is None:
            producer = AIOKafkaProducer(
                **client_options(self._kafka),
                client_id=self._client_id,
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                max_batch_size=_BATCH_BYTES,
                partitioner=KeyPartitioner(),
                max_request_size=MAX_RECORD_BYTES + 1024 * 1024,
            )
            try:
                await self._answer(producer.start())
            except BaseException:
                await stop_client(producer, 5.0)
                raise
            self._producer = producer
        send = self._producer.send

        async def hand_over() -> list[Any]:
            return [
                await send(each.topic, each.value, key=each.key, partition=each.partition, headers=list(each.headers))
                for each in records
            ]

        await self._answer(asyncio.gather(*await self._answer(hand_over())))

    async def _answer(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await request
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None


def _record_of(record: Any) -> TopicRecord:
    return TopicRecord(
        record.topic, record.partition, record.offset, record.key, record.value, record.headers, record.timestamp
    )
