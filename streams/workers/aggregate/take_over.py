"""Take a partition over on Kafka: carry out the steps of `restore` (rule 10). Every step is bounded in time.

A partition that cannot be taken over raises, and the process ends hard (faust_overrides.py).
"""

from collections.abc import Mapping

import structlog
from aiokafka import TopicPartition
from faust.types import TP

from streams.errors import UnreadableRow
from streams.kafka.bounded_reader import BoundedReader, ExpiredRecords
from streams.kafka.faust_overrides import Consumer
from streams.kafka.fenced_log import FencedLog
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.restore import restore
from streams.workers.aggregate.steps import Fence, Limits, ReadCommitted, ReadSnapshots, Replay

_log = structlog.get_logger("aggregate")


async def take_over(
    tp: TP, group: Consumer, log: FencedLog, bootstrap_servers: str, limits: Limits, decoder: RecordDecoder
) -> PartitionState:
    """Fence the partition's log, and restore its state from there and from the rows that the state lacks.

    Raises KafkaError, OSError or TimeoutError; the log is to be closed then.
    """
    first, end = await group.bounds(tp)
    steps = restore(limits, first, end)
    answer: object = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as restored:
            partition: PartitionState = restored.value
            break
        match step:
            case Fence():
                answer = await log.fence()
            case ReadCommitted():
                committed = answer = await group.committed_marked(tp)
                if committed is not None and committed.offset < first:
                    _log_lost_rows(ExpiredRecords(tp.topic, tp.partition, committed.offset, first))
            case ReadSnapshots():
                answer = {key.decode(): value for key, value in (await log.read()).items()}
            case Replay():
                await _replay(tp, step, bootstrap_servers, decoder)
                answer = None
    _log.info("partition taken over", partition=tp.partition, position=partition.position, calls=len(partition.calls))
    return partition


async def _replay(tp: TP, step: Replay, bootstrap_servers: str, decoder: RecordDecoder) -> None:
    """Feed rows from before the committed offset. Unreadable ones are in the dead letters since then."""
    partition = TopicPartition(tp.topic, tp.partition)
    # Uncommitted records too: the rows must be the ones that the consumer group gave before.
    async with BoundedReader(bootstrap_servers, uncommitted=True) as reader:
        async for records in reader.read(
            [partition], starts={partition: step.start}, ends={partition: step.end}, on_expired=_log_lost_rows
        ):
            for record in records:
                try:
                    step.partition.replay(record.offset, decoder.decode(record.value, record.timestamp / 1000))
                except UnreadableRow:
                    step.partition.skip(record.offset)


def _log_lost_rows(expired: ExpiredRecords) -> None:
    _log.error(
        "retention removed rows before they were taken: results of their calls lack them, or are missing; "
        "backfill the calls of that time (cel2crm backfill)",
        topic=expired.topic,
        partition=expired.partition,
        first_lost_offset=expired.first,
        last_lost_offset=expired.next - 1,
    )


async def reasons_before(
    positions: Mapping[TP, int], count: int, bootstrap_servers: str, decoder: RecordDecoder
) -> list[str | None]:
    """Why rows before these offsets cannot be read, None for each that can: in the order in which they were written.

    At most `count` offsets of each partition are looked at. Raises KafkaError, OSError or TimeoutError.
    """
    ends = {TopicPartition(tp.topic, tp.partition): position for tp, position in positions.items()}
    starts = {partition: max(0, end - count) for partition, end in ends.items()}
    found: list[tuple[int, str | None]] = []
    async with BoundedReader(bootstrap_servers, uncommitted=True) as reader:
        async for records in reader.read(ends, starts=starts, ends=ends, on_expired=lambda _: None):
            for record in records:
                reason = None
                try:
                    decoder.decode(record.value, record.timestamp / 1000)
                except UnreadableRow as error:
                    reason = str(error)
                found.append((record.timestamp, reason))
    return [reason for _, reason in sorted(found, key=lambda each: each[0])]
