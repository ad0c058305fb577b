"""One call's rows from the cel topic: only the partitions that its linkedids hash to, and nothing after their ends."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from streams.calls.call import epoch_of
from streams.errors import UnreadableRow
from streams.kafka.topic_client import KafkaTopics, TopicRecord, partition_of
from streams.rows.row import CapturedRow, RowDecoder
from streams.settings import KafkaSettings

EARLIER_MS = 24 * 3_600_000
"""A row is on the topic after its call began; the clocks of PBX and broker may be this far apart (milliseconds)."""


@dataclass(slots=True)
class TopicFinder:
    """Rows on the cel topic. What a channel did under a linkedid that nothing names stays unfound: see `matching`."""

    kafka: KafkaSettings
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
        keys, channels = {each.encode() for each in linkedids}, [each.encode() for each in uniqueids]
        found = []
        # Uncommitted records too, as the worker's consumer group reads them.
        async with KafkaTopics(self.kafka, client_id="cel2crm-explain", uncommitted=True) as topics:
            count = await topics.partitions(self.topic)
            partitions = sorted({partition_of(key, count) for key in keys})
            async for record in topics.read(self.topic, partitions, since_ms=_begin_ms(linkedids)):
                # Decoding is the dear part: most records are other calls'.
                if record.key in keys or any(each in (record.value or b"") for each in channels):
                    row = self._row(record)
                    if row is not None and (row.linkedid in linkedids or row.uniqueid in uniqueids):
                        found.append(row)
        return sorted(found, key=lambda row: row.id)

    def _row(self, record: TopicRecord) -> CapturedRow | None:
        try:
            return self.decoder.decode(record.value)
        except UnreadableRow:
            return None


def _begin_ms(linkedids: Collection[str]) -> int | None:
    """A day before the oldest of the calls (Unix milliseconds); None: a linkedid does not tell when it began."""
    epochs = [epoch_of(each) for each in linkedids]
    known = [each for each in epochs if each is not None]
    return max(0, min(known) * 1000 - EARLIER_MS) if len(known) == len(epochs) else None
