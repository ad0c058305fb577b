"""Topics as an operator's command needs them: read up to where they end now, and written with every answer awaited."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from streams.errors import UserError
from streams.kafka.admin import unreachable
from streams.kafka.fenced_log import MAX_RECORD_BYTES, stopped

Headers = Sequence[tuple[str, bytes | None]]

_ANSWER_SECONDS = 15.0
_SILENT_SECONDS = 30.0


class TopicRecord(NamedTuple):
    """A record as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = 0


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
        """How many there are."""
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
        """What stands there now: committed records up to the end offsets as of the call, one reading at a time.

        `start`: offsets to begin at; `since_ms`: no record written before (Unix milliseconds) is needed.
        """
        ...

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Write records, and return when the brokers have all of them."""
        ...


def partition_of(key: bytes, partitions: int) -> int:
    """Where aiokafka, and with it every worker, puts a key."""
    known = list(range(partitions))
    return int(DefaultPartitioner()(key, known, known))


class KafkaTopics:
    """The topics of one cluster; use in `async with`."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            client_id="cel2crm-operator",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
        )
        try:
            await self._answer(self._consumer.start())
        except BaseException:
            await stopped(self._consumer, 5.0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in (self._consumer, self._producer):
            if client is not None:
                await stopped(client, 5.0)
        self._consumer = self._producer = None

    async def partitions(self, topic: str) -> int:
        """See Topics."""
        metadata = await self._answer(self._open._client.fetch_all_metadata())
        found = metadata.partitions_for_topic(topic)
        if not found:
            raise UserError(
                f"there is no topic {topic}", "Make it with cel2crm topics apply, or check kafka.topic_prefix."
            )
        return len(found)

    async def ends(self, topic: str) -> dict[int, int]:
        """See Topics."""
        asked = [TopicPartition(topic, number) for number in range(await self.partitions(topic))]
        return {each.partition: end for each, end in (await self._answer(self._open.end_offsets(asked))).items()}

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
        ends: dict[TopicPartition, int] = await self._answer(self._open.end_offsets(wanted))
        begins = await self._begins(wanted, start or {}, since_ms)
        ahead = {each: end for each, end in ends.items() if begins.get(each, end) < end}
        self._open.assign(list(ahead))
        for each in ahead:
            self._open.seek(each, begins[each])
        silent = 0.0
        while ahead:
            fetched = await self._answer(self._open.getmany(timeout_ms=500))
            silent = 0.0 if fetched else silent + 0.5
            if silent > _SILENT_SECONDS:
                raise unreachable(self._servers, TimeoutError(f"no records of {topic} for {_SILENT_SECONDS:.0f} s"))
            for each, records in fetched.items():
                for record in records:
                    if record.offset < ahead.get(each, 0):
                        yield _taken(record)
            # By position, not by the last record seen: the last offsets may hold no record.
            for each in [each for each, end in ahead.items() if await self._answer(self._open.position(each)) >= end]:
                del ahead[each]
                self._open.pause(each)

    async def _begins(
        self, wanted: list[TopicPartition], start: Mapping[int, int], since_ms: int | None
    ) -> dict[TopicPartition, int]:
        """Where reading begins; partitions without anything to read are left out."""
        begins: dict[TopicPartition, int] = await self._answer(self._open.beginning_offsets(wanted))
        if since_ms is not None:
            found = await self._answer(self._open.offsets_for_times(dict.fromkeys(wanted, max(0, since_ms))))
            begins = {each: max(begins[each], at.offset) for each, at in found.items() if at is not None}
        return {each: max(begin, start.get(each.partition, 0)) for each, begin in begins.items()}

    async def send(self, records: Sequence[Outgoing]) -> None:
        """See Topics."""
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                client_id="cel2crm-operator",
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                max_request_size=MAX_RECORD_BYTES + 1024 * 1024,
            )
            try:
                await self._answer(producer.start())
            except BaseException:
                await stopped(producer, 5.0)
                raise
            self._producer = producer
        sent = [
            await self._answer(
                self._producer.send(
                    record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers)
                )
            )
            for record in records
        ]
        await self._answer(asyncio.gather(*sent))

    @property
    def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("KafkaTopics is used outside of its `async with`")
        return self._consumer

    async def _answer(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await request
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._servers, error) from None


def _taken(record: Any) -> TopicRecord:
    return TopicRecord(
        record.topic, record.partition, record.offset, record.key, record.value, record.headers, record.timestamp
    )
