"""Calls that ended are kept as they stand in their snapshot. Seconds count from START."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord

from streams.calls.call import Call, End
from streams.calls.missing_rows import Missing
from streams.calls.snapshot import Snapshot, UnreadableSnapshot, unpacked
from streams.kafka.committed import Committed
from streams.kafka.set_aside import UnreadableRecord
from streams.rows.row import CapturedRow, CelRow
from streams.rows.shared_texts import sharing
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import CallEnded, Limits, RowRefused, WriteSnapshots
from streams.workers.aggregate.take_over import drop_unreadable
from streams.workers.aggregate.tracked_call import TrackedCall
from tests.workers.aggregate.test_partition_state import START, Log, checkpoint, restored

LIMITS = Limits(settle_ms=0, quiet_ms=10_000, time_limit_ms=3600_000, grace_ms=900_000, backfill_grace_ms=20_000)
KEY = f"north/{START}.1"

OF_BEFORE = bytes.fromhex(
    "960ccf000001a205955f08c3c2c48278019bbc342fbfa824638da1b9a5a9b1a50110e8194ebac320c4becad9c3d12f3e38c4312864b39181"
    "9199aea1a1ae91b182a181950108a16840e16c0df00af60cd02f292acdcb36d405990804860b569b9b589a1a1a199b989a992f8003a04d9c"
    "6b7c3cfdbc5d5d3c5de25dfd5cb0d8658a623c0a07875d70e3172c0000b79043ef00"
)  # fmt: skip
"""The ended call of two rows in the checkpoints of a version that sealed none; position 12."""


@pytest.fixture
def log() -> Log:
    """A call of three rows that ended, and is sealed."""
    log = Log(PartitionState(LIMITS))
    log.row("CHAN_START", 0)
    log.row("CHAN_END", 4)
    log.row("LINKEDID_END", 5)
    checkpoint(log.partition)
    assert log.partition.calls[KEY].sealed
    return log


def tracked(log: Log) -> TrackedCall:
    return log.partition.calls[KEY]


def committed_of(steps: list[Any]) -> Committed:
    return Committed(steps[-1].offset, steps[-1].marker.encode())


def test_an_open_call_and_one_whose_snapshot_is_not_acknowledged_are_not_sealed() -> None:
    log = Log(PartitionState(LIMITS))
    log.row("CHAN_START", 0)
    checkpoint(log.partition)
    assert not tracked(log).sealed
    log.row("LINKEDID_END", 5)
    checkpoint(log.partition, written=False)
    assert not tracked(log).sealed
    checkpoint(log.partition, confirmed=False)  # the commit is of no matter: a snapshot may be ahead of it
    assert tracked(log).sealed


def test_a_call_that_changed_while_its_snapshot_was_written_is_not_sealed() -> None:
    log = Log(PartitionState(LIMITS))
    log.row("CHAN_START", 0)
    log.row("LINKEDID_END", 5)
    steps = log.partition.checkpoint()
    next(steps)
    assert isinstance(steps.send(True), WriteSnapshots)
    log.row("HANGUP", 6)
    steps.send(True)
    assert tracked(log).call.version == (3, 3)


def test_a_late_row_thaws_a_call_and_the_next_checkpoint_seals_it_with_that_row(log: Log) -> None:
    late = log.row("HANGUP", 6)
    assert isinstance(late, CallEnded)
    assert late.call.version == (4, 4)
    assert not tracked(log).sealed
    _, write, *_ = checkpoint(log.partition)
    assert tracked(log).sealed
    snapshot = Snapshot.of(KEY, dict(write.records)[KEY])
    assert unpacked(KEY, snapshot.newest).version == (4, 4)
    assert snapshot.call == tracked(log).packed


def test_a_repeated_row_changes_nothing_and_its_call_is_sealed_again(log: Log) -> None:
    assert log.row("CHAN_END", 4, row_id=2) is None
    assert not tracked(log).sealed
    steps = checkpoint(log.partition)
    assert not [step for step in steps if isinstance(step, WriteSnapshots)]
    assert tracked(log).sealed


def test_a_late_row_after_the_deadline_of_a_sealed_call_is_refused(log: Log) -> None:
    assert isinstance(log.row("HANGUP", 905.001), RowRefused)
    checkpoint(log.partition)
    assert tracked(log).sealed


def test_a_call_that_ended_by_its_channels_has_its_quiet_time_also_when_it_is_sealed() -> None:
    log = Log(PartitionState(LIMITS))
    log.row("CHAN_START", 0)
    log.row("CHAN_END", 5)
    assert log.tick(15) == [f"{START}.1"]
    checkpoint(log.partition)
    assert (tracked(log).sealed, tracked(log).end) == (True, End.CHANNELS)
    assert log.row("CHAN_START", 915) is None  # 5 s, 10 s of quiet, and the grace time
    assert log.partition.open_calls == 1


def test_a_backfill_reads_a_sealed_call_again_and_judges_it(log: Log) -> None:
    for number, event in enumerate(("CHAN_START", "CHAN_END", "LINKEDID_END"), 1):
        assert log.row(event, 2000, op="r", row_id=number) is None
    assert [call.version for call in log.ended(2020)] == []
    assert [call.version for call in log.ended(2040)] == [(3, 3)]
    checkpoint(log.partition)
    assert tracked(log).sealed


def test_a_loss_marks_a_sealed_call_without_a_look_at_its_rows(log: Log) -> None:
    log.partition.lose(9)
    assert (tracked(log).sealed, tracked(log).missing) == (True, Missing.AFTER_ITS_END)
    _, write, *_ = checkpoint(log.partition)
    snapshot = Snapshot.of(KEY, dict(write.records)[KEY])
    assert (snapshot.missing, unpacked(KEY, snapshot.newest).version) == (Missing.AFTER_ITS_END, (3, 3))


def test_a_sealed_call_is_forgotten_with_a_tombstone(log: Log) -> None:
    log.row("CHAN_START", 2000, call="2000")
    checkpoint(log.partition)
    _, write, *_ = checkpoint(log.partition)
    assert write.records == [(KEY, None)]
    assert KEY not in log.partition.calls


def test_calls_that_ended_are_taken_over_sealed_and_take_their_late_rows(log: Log) -> None:
    log.row("CHAN_START", 5, call="5")
    _, write, *_ = (steps := checkpoint(log.partition))
    log.row("HANGUP", 5)
    _, late, *_ = (steps := checkpoint(log.partition))
    again = Log(restored(committed_of(steps), dict(write.records) | dict(late.records))[0])
    assert [each.sealed for each in again.partition.calls.values()] == [False, True]
    assert again.partition.open_calls == 1
    ended = again.row("HANGUP", 900)
    assert isinstance(ended, CallEnded)
    assert ended.call.version == (6, 5)
    assert isinstance(again.row("HANGUP", 1800.001), RowRefused)


def test_a_snapshot_of_a_version_that_sealed_no_calls_is_taken_over() -> None:
    partition, _ = restored(Committed(12, '{"f":12,"t":{"north":1795390005000}}'), {KEY: OF_BEFORE})
    log = Log(partition)
    assert (tracked(log).sealed, tracked(log).end, tracked(log).pbx) == (True, End.LINKEDID, "north")
    late = log.row("HANGUP", 905)
    assert isinstance(late, CallEnded)
    assert [row.id for row in late.call.rows] == [7, 9, 13]


def test_a_version_that_sealed_no_calls_reads_what_this_one_writes(log: Log) -> None:
    class Before(msgspec.Struct, frozen=True, array_like=True):
        covered_offset: int
        last_row_ms: int
        ended: bool
        backfilled: bool
        call: bytes
        missing: Missing = Missing.NOTHING

    log.row("HANGUP", 6)
    _, write, *_ = checkpoint(log.partition)
    before = msgspec.msgpack.decode(dict(write.records)[KEY], type=Before)
    assert Call.from_bytes(before.call).version == (4, 4)


def damaged(partition: PartitionState) -> None:
    sealed = partition.calls[KEY]
    assert sealed.packed is not None
    sealed.packed = sealed.packed[:20]


def test_a_row_of_a_sealed_call_that_cannot_be_read_changes_nothing(log: Log) -> None:
    damaged(log.partition)
    before = log.partition.position, dict(log.partition.times)
    with pytest.raises(UnreadableSnapshot) as unreadable:
        log.row("HANGUP", 7)
    assert unreadable.value.key == KEY
    assert (log.partition.position, log.partition.times) == before
    assert log.row("CHAN_START", 9, call="9") is None, "other calls go on"


class CheckpointLog:
    """A partition's checkpoints, as they are read."""

    topic, partition = "cel2crm.aggregate-checkpoints", 3

    def __init__(self, *values: bytes) -> None:
        self._values = values

    async def scan(self, take: Any) -> None:
        for offset, value in enumerate(self._values):
            take(SimpleNamespace(key=KEY.encode(), value=value, offset=offset))


class SetAside:
    """The records that an operator set aside, by offset."""

    def __init__(self, *offsets: int) -> None:
        self._offsets = offsets

    def holds(self, record: ConsumerRecord) -> bool:
        return record.offset in self._offsets


async def test_a_sealed_call_that_cannot_be_read_stops_the_worker_until_its_record_is_set_aside(log: Log) -> None:
    damaged(log.partition)
    value = Snapshot(3, 5, True, False, tracked(log).packed or b"", Missing.NOTHING, "north", End.LINKEDID).encode()
    checkpoints: Any = CheckpointLog(value)
    error = UnreadableSnapshot(KEY, ValueError("damaged"))
    with pytest.raises(UnreadableRecord) as stopped:
        await drop_unreadable(log.partition, checkpoints, error, SetAside())  # type: ignore[arg-type]
    assert stopped.value.place == "cel2crm.aggregate-checkpoints/3/0"
    assert KEY in log.partition.calls
    await drop_unreadable(log.partition, checkpoints, error, SetAside(0))  # type: ignore[arg-type]
    assert KEY not in log.partition.calls
    assert isinstance(log.row("HANGUP", 2000), RowRefused)
    _, write, *_ = checkpoint(log.partition)
    assert write.records == [(KEY, None)]


def new_row(number: int, linkedid: str = "1795390000.1") -> CapturedRow:
    """A row as a decoder makes it: every text is one of its own."""
    context, event = "".join(("from-", "trunk")), "ANSWER" * number
    return CapturedRow(id=number, eventtype=event, eventtime=f"at {number}", linkedid=linkedid, context=context, op="r")


def test_rows_share_equal_texts() -> None:
    texts: dict[str, str] = {}
    first, second = sharing(new_row(1), texts), sharing(new_row(2), texts)
    assert first.context is second.context
    assert (first.eventtype, second.eventtype) == ("ANSWER", "ANSWERANSWER")
    assert type(first) is CelRow
    assert (second.id, second.context, second.uniqueid, second.extra) == (2, "from-trunk", "", "")


def test_the_rows_of_an_open_call_share_their_texts_and_those_that_are_taken_over_too(log: Log) -> None:
    log.row("CHAN_START", 6, call="6")
    log.row("ANSWER", 7, call="6")
    key = f"north/{START + 6}.1"
    first, second = log.partition.calls[key].call.rows
    assert first.channame is second.channame
    _, write, *_ = (steps := checkpoint(log.partition))
    again, _ = restored(committed_of(steps), dict(write.records))
    first, second = again.calls[key].call.rows
    assert first.channame is second.channame


def test_the_memory_of_shared_texts_is_bounded_while_no_calls_are_open() -> None:
    log = Log(PartitionState(LIMITS))
    for number in range(9000):
        log.row("LINKEDID_END", number, call=str(number))
    assert log.partition.open_calls == 0
    assert len(log.partition._texts) < 4_200
