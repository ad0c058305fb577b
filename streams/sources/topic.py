"""One call's rows from the cel topic: only the partitions that its linkedids hash to, and nothing after their ends."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from streams.calls.call import epoch_of
from streams.errors import UnreadableRow, UserError
from streams.kafka.admin import KafkaAdmin, unreachable
from streams.rows.row import CapturedRow, RowDecoder

EARLIER_MS = 24 * 3_600_000
"""A row is on the topic after its call began; the clocks of PBX and broker may be this far apart (milliseconds)."""

_TIMEOUT = 15.0


@dataclass(slots=True)
class TopicFinder:
    """Rows on the cel topic. What a channel did under a linkedid that nothing names stays unfound: see `matching`."""

    bootstrap_servers: str
    topic: str
    decoder: RowDecoder

    @property
    def name(self) -> str:
        return f"topic {self.topic}"

    def matching(self, linkedids: Collection[str], uniqueids: Collection[str]) -> list[CapturedRow]:
        """The rows of these linkedids, and of these channels where they stand in the same partitions.

        Raises UserError: no broker, no such topic.
        """
        return asyncio.run(self._matching(set(linkedids), set(uniqueids))) if linkedids else []

    async def _matching(self, linkedids: set[str], uniqueids: set[str]) -> list[CapturedRow]:
        partitions = await self._partitions(linkedids)
        async with self._consumer() as consumer:
            starts = await _starts(consumer, partitions, linkedids)
            ends = await _bounded(consumer.end_offsets(list(partitions)))
            ahead = {each: end for each, end in ends.items() if starts[each] < end}
            consumer.assign(list(ahead))
            for each in ahead:
                consumer.seek(each, starts[each])
            rows = [row async for row in self._until(consumer, ahead, linkedids, uniqueids)]
        return sorted(rows, key=lambda row: row.id)

    async def _until(
        self,
        consumer: AIOKafkaConsumer,
        ahead: dict[TopicPartition, int],
        linkedids: set[str],
        uniqueids: set[str],
    ) -> AsyncIterator[CapturedRow]:
        """The rows looked for, up to the offset of each partition."""
        keys, channels = {each.encode() for each in linkedids}, [each.encode() for each in uniqueids]
        while ahead:
            for partition, records in (await _bounded(consumer.getmany(timeout_ms=1000))).items():
                for record in records:
                    value = record.value or b""
                    # Decoding is the dear part: most records are other calls'.
                    looks = record.key in keys or any(each in value for each in channels)
                    row = self._row(value) if looks and record.offset < ahead.get(partition, 0) else None
                    if row is not None and (row.linkedid in linkedids or row.uniqueid in uniqueids):
                        yield row
            # By position, not by the last record seen: the last offsets may hold no record.
            for partition in [each for each in ahead if await consumer.position(each) >= ahead[each]]:
                del ahead[partition]
                consumer.pause(partition)

    def _row(self, value: bytes) -> CapturedRow | None:
        try:
            return self.decoder.decode(value)
        except UnreadableRow:
            return None

    async def _partitions(self, linkedids: set[str]) -> set[TopicPartition]:
        """Where the connector's producer, and aiokafka's, put these keys."""
        async with KafkaAdmin(self.bootstrap_servers) as admin:
            existing = (await admin.topics([self.topic])).get(self.topic)
        if existing is None:
            raise UserError(
                f"there is no topic {self.topic}",
                "Make it with cel2crm topics apply, or check kafka.topic_prefix.",
            )
        known, place = list(range(existing.partitions)), DefaultPartitioner()
        return {TopicPartition(self.topic, place(each.encode(), known, known)) for each in linkedids}

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers, client_id="cel2crm-explain", group_id=None,
            auto_offset_reset="earliest",
        )  # fmt: skip
        try:
            await _bounded(consumer.start())
            yield consumer
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self.bootstrap_servers, error) from None
        finally:
            await consumer.stop()


async def _starts(
    consumer: AIOKafkaConsumer, partitions: set[TopicPartition], linkedids: set[str]
) -> dict[TopicPartition, int]:
    """Where reading begins: a day before the oldest of the calls, as far as their linkedids tell."""
    begins: dict[TopicPartition, int] = await _bounded(consumer.beginning_offsets(list(partitions)))
    epochs = [epoch_of(each) for each in linkedids]
    if any(each is None for each in epochs):
        return begins
    since = max(0, min(each for each in epochs if each is not None) * 1000 - EARLIER_MS)
    found = await _bounded(consumer.offsets_for_times(dict.fromkeys(partitions, since)))
    ends = await _bounded(consumer.end_offsets(list(partitions)))
    return {each: max(begins[each], found[each].offset if found.get(each) else ends[each]) for each in partitions}


async def _bounded(request: Any) -> Any:
    async with asyncio.timeout(_TIMEOUT):
        return await request
