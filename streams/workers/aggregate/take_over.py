"""Take a partition over on Kafka: carry out the steps of `restore` (rule 10). Every step is bounded in time.

A partition that cannot be taken over raises, and the process ends hard (faust_overrides.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP

from streams.calls.segments import call_of, segment_of
from streams.calls.snapshot import UnreadableSnapshot, checkpointed, is_long
from streams.errors import UnreadableRow
from streams.kafka.bounded_reader import ExpiredRecords
from streams.kafka.faust_overrides import Consumer
from streams.kafka.fenced_log import FencedLog
from streams.kafka.lost_records import EXPIRED, MADE_AGAIN, NO_OFFSET, SET_BY_HAND, Lost, end_reaching, positions
from streams.kafka.set_aside import SetAsideRecords, UnreadableRecord
from streams.rows.row import CapturedRow
from streams.settings import KafkaSettings
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.restore import restore
from streams.workers.aggregate.steps import (
    Fence,
    Limits,
    PassedOver,
    ReadCommitted,
    ReadEnd,
    ReadSnapshots,
    Replay,
    TopicMadeAgain,
)
from streams.workers.aggregate.stored_rows import read_rows

_log = structlog.get_logger("aggregate")


async def take_over(
    tp: TP,
    group: Consumer,
    log: FencedLog,
    kafka: KafkaSettings,
    limits: Limits,
    decoder: RecordDecoder,
    set_aside: SetAsideRecords,
) -> tuple[PartitionState, Lost | None]:
    """Fence the partition's log, and restore its state from there and from the rows that the state lacks.

    Returns with it the rows that could not be taken any more, to be told before it is consumed. Raises UnreadableRecord
    for a snapshot that cannot be read and is not in `set_aside`; KafkaError, OSError or TimeoutError. The log is to be
    closed then.
    """
    committed, first, end = await positions(group, tp)
    marker = told = Marker.decode(committed.metadata) if committed else None
    made_again = marker is not None and await _is_of_another_topic(tp, marker, first, kafka, decoder)
    if made_again:
        committed = marker = None
    lost: list[Lost] = []
    steps = restore(limits, first, end, made_again=made_again)
    answer: object = None
    offsets: dict[str, int] = {}
    while True:
        try:
            with _naming_unreadable(log, offsets):
                step = steps.send(answer)
        except StopIteration as restored:
            partition: PartitionState = restored.value
            break
        match step:
            case Fence():
                answer = await log.fence()
            case ReadCommitted():
                answer = committed
                if committed is not None and committed.offset < first:
                    lost.append(Lost(tp, committed.offset, first, EXPIRED))
            case ReadSnapshots():
                answer, offsets = await _snapshots(log, set_aside)
            case PassedOver(start, stop):
                lost.append(Lost(tp, start, stop, NO_OFFSET if committed is None else SET_BY_HAND))
                answer = None
            case ReadEnd(expected):
                answer = await end_reaching(group, tp, expected)
            case TopicMadeAgain(start):
                lost.append(Lost(tp, start, start, MADE_AGAIN))
                answer = None
            case Replay():
                with _naming_unreadable(log, offsets):
                    expired = await _replay(tp, step, kafka, decoder)
                lost += [Lost(tp, each.first, each.next, EXPIRED) for each in expired]
                answer = None
    if committed is not None and marker is None and not lost:
        tell_set_back(tp, committed.offset)
    tell_set_forward([each for each in lost if each.cause == SET_BY_HAND])
    _log.info("partition taken over", partition=tp.partition, position=partition.position, calls=len(partition.calls))
    times = told.times.values() if told else [call.last_row_ms for call in partition.calls.values()]
    return partition, _as_one(lost, max(times, default=None))


async def _is_of_another_topic(
    tp: TP, marker: Marker, first: int, kafka: KafkaSettings, decoder: RecordDecoder
) -> bool:
    """Whether a commit was meant for an earlier topic of that name: the last row before its checkpoint is younger than
    every row that the checkpoint knows. aiokafka tries a commit again until a topic that was deleted is back.
    """
    last, place = marker.offset - 1, TopicPartition(tp.topic, tp.partition)
    if last < first or not marker.times:
        return False
    younger: list[CapturedRow] = []

    def take(_: ConsumerRecord, row: CapturedRow | UnreadableRow) -> None:
        if not isinstance(row, UnreadableRow) and row.commit_ms > marker.times.get(row.pbx, row.commit_ms):
            younger.append(row)

    await read_rows(kafka, decoder, {place: last}, {place: last + 1}, take)
    for row in younger:
        _log.error(
            "the group's offset is of an earlier topic of that name: the row before it is younger than all that were "
            "taken; the topic is read from its first record",
            topic=tp.topic, partition=tp.partition, offset=last + 1, row=row.commit_ms,
            taken_until=marker.times[row.pbx],
        )  # fmt: skip
    return bool(younger)


@contextmanager
def _naming_unreadable(log: FencedLog, offsets: Mapping[str, int]) -> Iterator[None]:
    """Name the record of a call that cannot be read: of an open call, or of a sealed one when it has a row."""
    try:
        yield
    except UnreadableSnapshot as unreadable:
        raise _unreadable(log, offsets[unreadable.key], unreadable) from None


async def drop_unreadable(
    partition: PartitionState, log: FencedLog, unreadable: UnreadableSnapshot, set_aside: SetAsideRecords
) -> None:
    """Forget a sealed call whose rows cannot be read, as if it had never been restored, where its snapshot is in
    `set_aside`.

    Raises UnreadableRecord where it is not; KafkaError, OSError or TimeoutError.
    """
    key = call_of(unreadable.key)
    snapshots, offsets = await _snapshots(log, set_aside)
    own = {each: value for each, value in snapshots.items() if call_of(each) == key}
    try:
        for call in checkpointed(own)[0].values():
            call.restored_call(key)
    except UnreadableSnapshot as error:
        raise _unreadable(log, offsets[error.key], error) from None
    partition.drop(key)


def tell_set_back(tp: TP, offset: int) -> None:
    """The group's offset was set by hand, and passes over no row."""
    _log.warning(
        "the group's offset was set back by hand, which judges no call anew: the rows are known, and results that they "
        "gave are not given again; give the replay command instead",
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        remedy=f"cel2crm replay diff --from-offset {tp.partition}:{offset}, and then cel2crm replay publish",
    )


def tell_set_forward(passed_over: list[Lost]) -> None:
    """The group's offset was set by hand, and passes over rows."""
    for tp, first, following, *_ in passed_over:
        _log.warning(
            "the group's offset was set forward by hand, which makes no result of the rows before it, and leaves their "
            "calls missing or unfinished; while the topic holds them, the replay command judges those calls",
            topic=tp.topic,
            partition=tp.partition,
            offset=following,
            remedy=f"cel2crm replay diff --from-offset {tp.partition}:{first} --to-offset {tp.partition}:{following}, "
            "and then cel2crm replay publish",
        )


async def _snapshots(log: FencedLog, set_aside: SetAsideRecords) -> tuple[dict[str, bytes], dict[str, int]]:
    """The last record of every call, and of every segment of the long ones, and its offset.

    Where a record of a long call is set aside, nothing of the call is known: what is left are parts of it.
    """
    values: dict[str, bytes] = {}
    offsets: dict[str, int] = {}
    segments_set_aside: set[str] = set()

    def take(record: ConsumerRecord) -> None:
        key = record.key.decode("utf-8", "replace")
        if set_aside.holds(record):
            if segment_of(key) is not None:
                segments_set_aside.add(key)
            elif key in values and is_long(values[key]):
                del values[key]
        elif record.value is None:
            values.pop(key, None)
        else:
            values[key], offsets[key] = record.value, record.offset

    await log.scan(take)
    for key in segments_set_aside - values.keys():
        values.pop(call_of(key), None)
    return values, offsets


def _unreadable(log: FencedLog, offset: int, unreadable: UnreadableSnapshot) -> UnreadableRecord:
    call = call_of(unreadable.key)
    return UnreadableRecord(
        f"{log.topic}/{log.partition}/{offset}",
        f"which rows call {call!r} has",
        unreadable,
        "the call is then judged without the rows of that checkpoint (of a long one nothing is known "
        "then), until it is read again from the PBX's table: "
        f"cel2crm backfill --call {call.rpartition('/')[2]!r}",
    )


def _as_one(lost: list[Lost], since_ms: int | None) -> Lost | None:
    """One stretch for all of a partition: what lies between two of them was taken over, and a backfill changes nothing
    about it."""
    if not lost:
        return None
    first, last = min(each.first for each in lost), max(each.next for each in lost)
    return Lost(lost[0].tp, first, last, " and ".join(dict.fromkeys(each.cause for each in lost)), since_ms)


async def _replay(tp: TP, step: Replay, kafka: KafkaSettings, decoder: RecordDecoder) -> list[ExpiredRecords]:
    """Feed rows from before the committed offset; those that are gone. Unreadable ones are in the dead letters since
    then."""
    partition = TopicPartition(tp.topic, tp.partition)
    expired: list[ExpiredRecords] = []

    def lose(gone: ExpiredRecords) -> None:
        expired.append(gone)
        step.partition.lose(gone.next)

    def take(record: ConsumerRecord, row: CapturedRow | UnreadableRow) -> None:
        if isinstance(row, UnreadableRow):
            step.partition.skip(record.offset)
        else:
            step.partition.replay(record.offset, row)

    await read_rows(kafka, decoder, {partition: step.start}, {partition: step.end}, take, on_expired=lose)
    return expired


async def reasons_before(
    positions: Mapping[TP, int], count: int, kafka: KafkaSettings, decoder: RecordDecoder
) -> list[str | None]:
    """Why rows before these offsets cannot be read, None for each that can: in the order in which they were written.

    At most `count` offsets of each partition are looked at. Raises KafkaError, OSError or TimeoutError.
    """
    ends = {TopicPartition(tp.topic, tp.partition): position for tp, position in positions.items()}
    starts = {partition: max(0, end - count) for partition, end in ends.items()}
    found: list[tuple[int, str | None]] = []

    def take(record: ConsumerRecord, row: CapturedRow | UnreadableRow) -> None:
        found.append((record.timestamp, str(row) if isinstance(row, UnreadableRow) else None))

    await read_rows(kafka, decoder, starts, ends, take)
    return [reason for _, reason in sorted(found, key=lambda each: each[0])]
