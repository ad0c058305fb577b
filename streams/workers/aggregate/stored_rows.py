"""Rows that stand on the topic, read apart from the consumer group."""

from collections.abc import Callable, Mapping

from aiokafka import ConsumerRecord, TopicPartition

from streams.errors import UnreadableRow
from streams.kafka.bounded_reader import BoundedReader, OnExpired
from streams.rows.row import CapturedRow
from streams.settings import KafkaSettings
from streams.workers.aggregate.record_decoder import RecordDecoder


def _unsaid(_: object) -> None:
    pass


async def read_rows(
    kafka: KafkaSettings,
    decoder: RecordDecoder,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    take: Callable[[ConsumerRecord, CapturedRow | UnreadableRow], None],
    *,
    on_expired: OnExpired = _unsaid,
) -> None:
    """Give each record at start <= offset < end to `take`, with its row, or why it cannot be read.

    Uncommitted records too: they must be the ones that the consumer group gives. Raises KafkaError, OSError or
    TimeoutError, and what `take` raises.
    """
    async with BoundedReader(kafka, uncommitted=True) as reader:
        async for records in reader.read(ends, starts=starts, ends=ends, on_expired=on_expired):
            for record in records:
                row: CapturedRow | UnreadableRow
                try:
                    row = decoder.decode(record.value, record.timestamp)
                except UnreadableRow as error:
                    row = error
                take(record, row)
