"""The cel topic as replays read it: stretches of offsets, in large batches, up to where a partition ends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import UserError
from streams.kafka.bounded_reader import BoundedReader, ExpiredRecords
from streams.kafka.client import unreachable
from streams.settings import KafkaSettings

_FETCH_BYTES = 4 * 1024 * 1024
_BATCH_RECORDS = 5_000
_SILENCE_SECONDS = 180.0
"""Brokers that are away for shorter are waited for."""


class RowRecord(Protocol):
    """A record of the topic."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int:
        """When it was written (Unix milliseconds)."""


OnGone = Callable[[int, int], None]
"""Told that retention removed the offsets first <= offset < next while they were read."""


class CelSource(Protocol):
    """The topic, by partition. Every method raises UserError: no broker, no such topic, brokers silent for long."""

    @property
    def name(self) -> str:
        """Full name of the topic."""

    async def begins(self) -> Mapping[int, int]:
        """The first offset that each partition still holds."""
        ...

    async def ends(self) -> Mapping[int, int]:
        """The offset after the last record of each."""
        ...

    async def since(self, moment_ms: int) -> Mapping[int, int]:
        """The first offset written at a time (Unix milliseconds) or later; partitions without one are left out."""
        ...

    def read(self, partition: int, start: int, end: int, on_gone: OnGone) -> AsyncIterator[Sequence[RowRecord]]:
        """The records start <= offset < end, in the order of offsets. One reading at a time."""
        ...


class KafkaCelSource:
    """The topic on Kafka; use in `async with`. Uncommitted records are read too, as the aggregate worker does."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self.name = topic
        self._kafka = kafka
        self._reader = BoundedReader(
            kafka,
            client_id="cel2crm-replay",
            silence_seconds=_SILENCE_SECONDS,
            start_seconds=15.0,
            uncommitted=True,
            batch_records=_BATCH_RECORDS,
            fetch_bytes=_FETCH_BYTES,
        )
        self._partitions: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        """Connect. Raises UserError: no broker, no such topic."""
        try:
            await self._reader.__aenter__()
            self._partitions = [
                TopicPartition(self.name, each) for each in range(await self._reader.partitions(self.name))
            ]
        except (KafkaError, OSError, TimeoutError) as error:
            await self._reader.__aexit__(None, None, None)
            raise unreachable(self._kafka, error) from None
        if not self._partitions:
            await self._reader.__aexit__(None, None, None)
            raise UserError(
                f"there is no topic {self.name}",
                "Make it with cel2crm topics apply, or check kafka.topic_prefix; this login may also not be allowed to "
                "see it (cel2crm topics acls).",
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)

    async def begins(self) -> Mapping[int, int]:
        """See CelSource."""
        return await self._asked(lambda: self._reader.begins(self._partitions))

    async def ends(self) -> Mapping[int, int]:
        """See CelSource."""
        return await self._asked(lambda: self._reader.ends(self._partitions))

    async def since(self, moment_ms: int) -> Mapping[int, int]:
        """See CelSource."""
        return await self._asked(lambda: self._reader.since(self._partitions, moment_ms))

    async def read(self, partition: int, start: int, end: int, on_gone: OnGone) -> AsyncIterator[Sequence[RowRecord]]:
        """See CelSource."""
        place = TopicPartition(self.name, partition)

        def gone(expired: ExpiredRecords) -> None:
            on_gone(expired.first, expired.next)

        try:
            async for records in self._reader.read([place], starts={place: start}, ends={place: end}, on_expired=gone):
                yield records
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None

    async def _asked(self, ask: Callable[[], Awaitable[Mapping[TopicPartition, int]]]) -> Mapping[int, int]:
        try:
            found = await ask()
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None
        return {each.partition: offset for each, offset in found.items()}
