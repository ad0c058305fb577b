"""Reads partitions up to where they end now. Nothing else in the product reads "to the end".

    async with BoundedReader(servers) as reader:
        async for records in reader.read([TopicPartition("results", 0)]):
            ...

Users: the take-over of fenced logs, the aggregate worker's replay, operators' commands, replays, `explain`, the demo.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from streams.kafka.client import stop_client
from streams.kafka.login import consumer_options
from streams.settings import KafkaSettings

_POLL_MS = 200
_BATCH_RECORDS = 2_000
"""Records that are given at once: between two batches the event loop serves others."""
_FETCH_BYTES = 1024 * 1024

_log = logging.getLogger(__name__)


class ExpiredRecords(NamedTuple):
    """Retention removed the offsets `first` <= offset < `next` of a partition before they were read."""

    topic: str
    partition: int
    first: int
    next: int


OnExpired = Callable[[ExpiredRecords], None]


def log_expired(expired: ExpiredRecords) -> None:
    """Log the offsets that are lost to the reader."""
    _log.error(
        "%s/%d: offsets %d to %d were removed by retention before they were read; reading goes on at %d",
        expired.topic, expired.partition, expired.first, expired.next - 1, expired.next,
    )  # fmt: skip


class BoundedReader:
    """A consumer without a group. Use in `async with`; one `read` at a time.

    Every method raises KafkaError, OSError, or TimeoutError where the brokers are silent for `silence_seconds`
    (aiokafka itself waits for ever while brokers are down).
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        client_id: str = "cel2crm",
        silence_seconds: float = 30.0,
        start_seconds: float | None = None,
        uncommitted: bool = False,
        batch_records: int = _BATCH_RECORDS,
        fetch_bytes: int = _FETCH_BYTES,
    ) -> None:
        """`uncommitted`: give records of open and aborted transactions too, as the workers' consumer groups do.

        `start_seconds`: how long a broker is waited for at the start, if not as long as later; `fetch_bytes`: of one
        partition in one answer.
        """
        self._kafka = kafka
        self._client_id = client_id
        self._silence_seconds = silence_seconds
        self._start_seconds = silence_seconds if start_seconds is None else start_seconds
        self._batch_records = batch_records
        self._fetch_bytes = fetch_bytes
        self._isolation = "read_uncommitted" if uncommitted else "read_committed"
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        consumer = AIOKafkaConsumer(
            **consumer_options(self._kafka),
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # an offset that expired is an error here, and told (`_fetch`)
            isolation_level=self._isolation,
            max_partition_fetch_bytes=self._fetch_bytes,
        )
        try:
            async with asyncio.timeout(self._start_seconds):
                await consumer.start()
        except BaseException:
            await stop_client(consumer, 5.0)
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await stop_client(self._consumer, 5.0)
            self._consumer = None

    async def partitions(self, topic: str) -> int:
        """The number of a topic's partitions; 0: the topic does not exist."""
        metadata = await self._answer(self._started._client.fetch_all_metadata())
        return len(metadata.partitions_for_topic(topic) or ())

    async def begins(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that each partition still holds."""
        await self._learn(partitions)
        found: dict[TopicPartition, int] = await self._answer(self._started.beginning_offsets(list(partitions)))
        return found

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition."""
        await self._learn(partitions)
        found: dict[TopicPartition, int] = await self._answer(self._started.end_offsets(list(partitions)))
        return found

    async def since(self, partitions: Collection[TopicPartition], since_ms: int) -> dict[TopicPartition, int]:
        """The first offset written at that time (Unix milliseconds) or later; partitions without one are left out."""
        await self._learn(partitions)
        found = await self._answer(self._started.offsets_for_times(dict.fromkeys(partitions, max(0, since_ms))))
        return {each: at.offset for each, at in found.items() if at is not None}

    async def read(
        self,
        partitions: Collection[TopicPartition],
        *,
        starts: Mapping[TopicPartition, int] | None = None,
        ends: Mapping[TopicPartition, int] | None = None,
        on_expired: OnExpired = log_expired,
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Give the records start <= offset < end in batches, each of one partition and in the order of its offsets.

        `starts`: where partitions are not to be read from their beginning. `ends`: where they are not to be read up to
        their ends as of this call. Where retention has removed a start, or removes it while the partition is read,
        `on_expired` is called with what is lost, and reading goes on with the first record that is there.
        """
        begins, known_ends = await asyncio.gather(self.begins(partitions), self.ends(partitions))
        known_ends |= ends or {}
        positions = begins | dict(starts or {})
        ahead = {each: end for each, end in known_ends.items() if positions[each] < end}
        self._started.assign(list(ahead))
        for each, end in list(ahead.items()):
            if positions[each] < begins[each]:
                on_expired(ExpiredRecords(each.topic, each.partition, positions[each], min(begins[each], end)))
                positions[each] = begins[each]
            self._started.seek(each, positions[each])
            self._end_reached(ahead, each, positions[each])
        now = asyncio.get_running_loop().time
        last_progress = now()
        while ahead:
            fetched = await self._fetch(ahead, on_expired)
            for each, records in fetched.items():
                end = ahead.get(each, 0)
                within = records if records[-1].offset < end else [record for record in records if record.offset < end]
                if within:
                    yield within
            # By position, not by the last record seen: the last offsets may hold no record.
            reached = {each: await self._answer(self._started.position(each)) for each in ahead}
            if fetched or any(positions[each] != position for each, position in reached.items()):
                positions, last_progress = reached, now()
            elif now() - last_progress > self._silence_seconds:
                raise TimeoutError(self._stuck(reached, ahead))
            for each, position in reached.items():
                self._end_reached(ahead, each, position)

    def _stuck(self, positions: Mapping[TopicPartition, int], ahead: Mapping[TopicPartition, int]) -> str:
        places = [f"{each.topic}/{each.partition} at {at} of {ahead[each]}" for each, at in positions.items()]
        return f"no record for {self._silence_seconds:.0f} s: {', '.join(places)}"

    def _end_reached(self, ahead: dict[TopicPartition, int], partition: TopicPartition, position: int) -> None:
        if position >= ahead[partition]:
            del ahead[partition]
            self._started.pause(partition)

    async def _fetch(
        self, ahead: Mapping[TopicPartition, int], on_expired: OnExpired
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        try:
            found: dict[TopicPartition, list[ConsumerRecord]] = await self._answer(
                self._started.getmany(timeout_ms=_POLL_MS, max_records=self._batch_records)
            )
        except OffsetOutOfRangeError as error:
            for partition, position in error.args[0].items():
                if partition in ahead:
                    begin = (await self.begins([partition]))[partition]
                    if begin <= position:  # not retention: the topic was made anew, or lost its last records
                        raise
                    until = min(begin, ahead[partition])
                    on_expired(ExpiredRecords(partition.topic, partition.partition, position, until))
                    self._started.seek(partition, begin)
            return {}
        return found

    async def _learn(self, partitions: Collection[TopicPartition]) -> None:
        """Ask where the partitions' leaders are. aiokafka's requests for offsets find out by failing, and wait then."""
        for topic in {each.topic for each in partitions}:
            await self._answer(self._started._client.add_topic(topic))

    @property
    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("BoundedReader is used outside of its `async with`")
        return self._consumer

    async def _answer(self, request: Any) -> Any:
        async with asyncio.timeout(self._silence_seconds):
            return await request
