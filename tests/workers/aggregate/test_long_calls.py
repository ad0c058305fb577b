"""Long calls in the checkpoints: their oldest rows are written once, in segments. Seconds count from START."""

import asyncio
import zlib
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faust.types import TP

from streams.calls.call import Call, End
from streams.calls.missing_rows import Missing
from streams.calls.segments import SEGMENT_ROWS, Segment, segment_key, segment_of
from streams.calls.snapshot import CheckpointedCall, Snapshot, UnreadableSnapshot, checkpointed, unpacked
from streams.kafka.committed import Committed
from streams.kafka.set_aside import UnreadableRecord
from streams.kafka.turn import LONGEST_TURN_SECONDS, Turn
from streams.workers.aggregate import assigned_partition, partition_state
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.partition_state import ROWS_BETWEEN_FLUSHES, PartitionState
from streams.workers.aggregate.steps import CallEnded, Commit, GiveWay, Limits, RowRefused, WriteSnapshots
from streams.workers.aggregate.take_over import _naming_unreadable, _snapshots, drop_unreadable
from tests.workers.aggregate.test_partition_state import START, Log, checkpoint, restored
from tests.workers.aggregate.test_sealed_calls import SetAside

LIMITS = Limits(settle_ms=0, quiet_ms=10_000, time_limit_ms=3600_000, grace_ms=900_000, backfill_grace_ms=20_000)
KEY = f"north/{START}.1"
SEGMENTS = [f"#{number}/{KEY}" for number in range(3)]

OF_BEFORE = {
    f"north/{START}.1": bytes.fromhex(
        "9804cf000001a205954f68c2c2c46378019bbc342fbfa824638da1b9a5a9b1a50110e8194ebac320c4b8cad9c3d12f3e38c4312864b391"
        "819199aea1a1ae91b182a181950108a16840e16c0df00af60cd02f292acdcb36d405990804860b9000d078a6658e7ec1e1ae41d4361a00"
        "e7fa3fdd00a56e6f72746800"
    ),
    f"north/{START + 2}.1": bytes.fromhex(
        "9804cf000001a205955f08c3c2c46a78019bbc342fbfa824638da1b9a5a9b1a5818181919ee1a43b0c42ccab9c3d1cfde283431c834236"
        "1b191899e91a1aea1a192b181a581980108a0614ced600af60cf00fd92a2d2bc6c435da0892060b80009008d6759e3e3e9e7edeae2e912"
        "efeae7426d0b006838419b00a56e6f72746802"
    ),
}
"""The checkpoints of a version that made no segments: an open call of two rows, and one that has ended; position 4."""


class Topic:
    """The records of a partition's checkpoints, as they are kept."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.written = 0

    def flush(self, log: Log, *, acknowledged: bool = True) -> dict[str, bytes | None]:
        """Carry a checkpoint out; what it wrote, in one transaction."""
        writes = [step for step in checkpoint(log.partition, written=acknowledged) if isinstance(step, WriteSnapshots)]
        assert len(writes) <= 1
        records = dict(writes[0].records) if writes else {}
        for key, value in records.items() if acknowledged else ():
            self.written += len(key) + len(value or b"")
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        return records


def small(log: Log, rows: int = 3) -> Log:
    log.partition.segment_rows = rows
    return log


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def log(topic: Topic) -> Log:
    """An open call of seven rows: two segments of three and a row, flushed."""
    log = small(Log(PartitionState(LIMITS)))
    talk(log, 7)
    topic.flush(log)
    return log


def talk(log: Log, rows: int, at: float = 0) -> None:
    for _ in range(rows):
        assert log.row("CHAN_START", at) is None


def taken_over(log: Log, topic: Topic) -> Log:
    """What a new owner makes of the checkpoints."""
    position = log.partition.position
    committed = Committed(position, f'{{"f":{position},"t":{{"north":{START * 1000}}}}}')
    return small(Log(restored(committed, topic.values)[0]))


def rows_of(log: Log) -> list[int]:
    return [row.id for row in log.partition.calls[KEY].call.rows]


def test_a_call_shorter_than_a_segment_is_written_as_before() -> None:
    log = Log(PartitionState(LIMITS))
    log.row("CHAN_START", 0)
    log.row("ANSWER", 1)
    log.row("CHAN_START", 2, call="2")
    log.row("LINKEDID_END", 5, call="2")
    written = Topic().flush(log)
    assert {key: fields(value) for key, value in written.items()} == {
        key: fields(value) for key, value in OF_BEFORE.items()
    }


def fields(value: bytes | None) -> list[Any]:
    """The fields of a snapshot; how well zlib compresses is its own affair."""
    found: list[Any] = msgspec.msgpack.decode(value or b"")
    found[4] = zlib.decompress(found[4])
    return found


def test_checkpoints_of_a_version_that_made_no_segments_are_taken_over() -> None:
    partition, _ = restored(Committed(4, '{"f":4,"t":{"north":1795390005000}}'), OF_BEFORE)
    log = small(Log(partition), rows=2)
    assert rows_of(log) == [1, 2]
    assert partition.calls[f"north/{START + 2}.1"].end is End.LINKEDID
    log.row("ANSWER", 6)
    written = Topic().flush(log)
    assert list(written) == [SEGMENTS[0], KEY]
    ended = log.row("LINKEDID_END", 7)
    assert isinstance(ended, CallEnded)
    assert ended.call.version == (6, 4)


def test_a_full_segment_is_written_with_the_snapshot_and_never_again(log: Log, topic: Topic) -> None:
    assert sorted(topic.values) == [*SEGMENTS[:2], KEY]
    log.row("ANSWER", 1)
    assert list(topic.flush(log)) == [KEY]
    log.row("ANSWER", 2)
    assert list(topic.flush(log)) == [SEGMENTS[2], KEY]
    head = Snapshot.of(KEY, topic.values[KEY])
    assert unpacked(KEY, head.newest).version == (0, 0)


def test_a_new_owner_joins_the_segments_and_goes_on_with_them(log: Log, topic: Topic) -> None:
    talk(log, 1, 1)
    topic.flush(log)
    again = taken_over(log, topic)
    assert rows_of(again) == list(range(1, 9))
    talk(again, 1, 2)
    assert list(topic.flush(again)) == [SEGMENTS[2], KEY]
    assert rows_of(taken_over(again, topic)) == list(range(1, 10))


def test_rows_that_come_out_of_the_order_of_their_ids_stay_where_they_came(log: Log, topic: Topic) -> None:
    for row_id in (90, 80, 70):
        log.row("ANSWER", 1, row_id=row_id)
    topic.flush(log)
    log.row("ANSWER", 2, row_id=60)
    topic.flush(log)
    assert rows_of(taken_over(log, topic)) == [*range(1, 8), 60, 70, 80, 90]


def test_segments_of_a_flush_that_failed_are_written_again(log: Log, topic: Topic) -> None:
    talk(log, 2, 1)
    assert list(topic.flush(log, acknowledged=False)) == [SEGMENTS[2], KEY]
    assert list(topic.flush(log)) == [SEGMENTS[2], KEY]
    assert rows_of(taken_over(log, topic)) == list(range(1, 10))


def test_what_is_written_grows_with_the_rows_and_not_with_the_call() -> None:
    written = {}
    for rows in (500, 2_000):
        log, topic = small(Log(PartitionState(LIMITS)), rows=50), Topic()
        for _ in range(rows // 10):
            talk(log, 10)
            topic.flush(log)
        written[rows] = topic.written
    assert 3.5 < written[2_000] / written[500] < 4.5


def test_a_long_call_that_ended_is_sealed_thawed_by_a_late_row_and_sealed_again(log: Log, topic: Topic) -> None:
    log.row("LINKEDID_END", 5)
    assert list(topic.flush(log)) == [KEY]
    assert log.partition.calls[KEY].sealed
    for owner in (log, taken_over(log, topic)):
        assert owner.partition.calls[KEY].sealed
        assert owner.row("CHAN_START", 6, row_id=3) is None  # it knows that row
        assert not topic.flush(owner)
        assert owner.partition.calls[KEY].sealed
    late = log.row("HANGUP", 7)
    assert isinstance(late, CallEnded)
    assert late.call.version[1] == 9
    assert list(topic.flush(log)) == [SEGMENTS[2], KEY]
    assert log.partition.calls[KEY].sealed
    assert [row.id for row in checkpointed(topic.values)[0][KEY].restored_call(KEY).rows] == [*range(1, 9), 10]


def test_a_forgotten_call_goes_with_all_its_segments_in_one_transaction(log: Log, topic: Topic) -> None:
    log.row("LINKEDID_END", 5)
    topic.flush(log)
    log.row("CHAN_START", 2000, call="2000")
    topic.flush(log)
    failed = topic.flush(log, acknowledged=False)
    assert failed == {SEGMENTS[0]: None, SEGMENTS[1]: None, KEY: None}
    assert topic.flush(log) == failed
    assert list(topic.values) == [f"north/{START + 2000}.1"]


def test_a_call_that_comes_again_before_its_tombstones_are_there_keeps_no_segment_of_before(
    log: Log, topic: Topic
) -> None:
    log.row("LINKEDID_END", 5)
    topic.flush(log)
    log.row("CHAN_START", 2000, call="2000")
    topic.flush(log)
    topic.flush(log, acknowledged=False)
    assert log.row("CHAN_START", 2001, op="r", row_id=1) is None
    assert topic.flush(log).keys() == {*SEGMENTS[:2], KEY}
    assert rows_of(taken_over(log, topic)) == [1]
    assert segment_key(KEY, 0) not in topic.values


def checkpoints_without(topic: Topic, key: str, value: bytes | None = None) -> dict[str, bytes]:
    return {name: found for name, found in topic.values.items() if name != key} | ({key: value} if value else {})


def test_a_call_is_never_told_from_a_part_of_its_segments(log: Log, topic: Topic) -> None:
    first = Segment.of(SEGMENTS[0], topic.values[SEGMENTS[0]])
    other = Call("north", "other").packed([])
    for key, value, blamed, words in (
        (SEGMENTS[1], None, KEY, "segment 1 of 2 is missing"),
        (SEGMENTS[1], b"\xc1", SEGMENTS[1], "not a snapshot of a call"),
        (SEGMENTS[1], topic.values[SEGMENTS[0]], SEGMENTS[1], f"it is segment 0 of call '{KEY}'"),
        (SEGMENTS[1], Segment("north/other", 1, first.rows).encode(), SEGMENTS[1], "of call 'north/other'"),
        (SEGMENTS[1], Segment(KEY, 1, first.rows).encode(), KEY, "not those that it was written with"),
        (SEGMENTS[1], Segment(KEY, 1, other).encode(), KEY, "not those that it was written with"),
        (SEGMENTS[1], topic.values[KEY], SEGMENTS[1], "not a snapshot of a call"),
        (KEY, topic.values[SEGMENTS[1]], KEY, "not a snapshot of a call"),
    ):
        with pytest.raises(UnreadableSnapshot, match=words) as unreadable:
            checkpointed(checkpoints_without(topic, key, value))
        assert unreadable.value.key == blamed


def test_rows_of_different_calls_are_no_call(log: Log, topic: Topic) -> None:
    call = checkpointed(topic.values)[0][KEY]
    foreign = msgspec.structs.replace(call.snapshot, call=Call("north", "other").packed([]))
    with pytest.raises(UnreadableSnapshot, match=f"rows of call north/other among those of {KEY}"):
        CheckpointedCall(foreign, call.segments).restored_call(KEY)


def test_releases_that_know_no_segments_cannot_read_a_long_call(log: Log, topic: Topic) -> None:
    class Before(msgspec.Struct, frozen=True, array_like=True):
        covered_offset: int
        last_row_ms: int
        ended: bool
        backfilled: bool
        call: bytes
        missing: Missing = Missing.NOTHING
        pbx: str = ""
        end: End = End.NOT_SEEN

    for value in topic.values.values():
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(value, type=Before)


class Records:
    """A partition's checkpoints as they are read: every record ever written."""

    topic, partition = "cel2crm.aggregate-checkpoints", 3

    def __init__(self, *records: tuple[str, bytes | None]) -> None:
        self._records = records

    async def scan(self, take: Any) -> None:
        for offset, (key, value) in enumerate(self._records):
            take(SimpleNamespace(key=key.encode(), value=value, offset=offset))


async def read(records: Records, *set_aside: int) -> dict[str, bytes]:
    log: Any = records
    return (await _snapshots(log, SetAside(*set_aside)))[0]  # type: ignore[arg-type]


async def test_where_a_record_of_a_long_call_is_set_aside_nothing_of_it_is_known(log: Log, topic: Topic) -> None:
    head = topic.values[KEY]
    parts = [(key, topic.values[key]) for key in SEGMENTS[:2]]
    records = Records(*parts, (KEY, head), (KEY, head), ("north/x", OF_BEFORE[KEY]))
    assert (await read(records)).keys() == {*SEGMENTS[:2], KEY, "north/x"}
    assert (await read(records, 3)).keys() == {*SEGMENTS[:2], "north/x"}, "the snapshot before it is one of a part"
    assert (await read(records, 1)).keys() == {SEGMENTS[0], "north/x"}
    assert (await read(Records(*parts, parts[0], (KEY, head)), 0)).keys() == {*SEGMENTS[:2], KEY}, "replaced since"


async def test_what_is_left_of_a_call_that_was_set_aside_goes_with_the_next_flush(log: Log, topic: Topic) -> None:
    del topic.values[KEY]
    again = taken_over(log, topic)
    assert isinstance(again.row("CHAN_END", 1000), RowRefused)
    assert topic.flush(again) == {SEGMENTS[0]: None, SEGMENTS[1]: None, KEY: None}
    assert not topic.values


def test_the_error_names_the_record_and_the_call(log: Log, topic: Topic) -> None:
    records: Any = Records()
    with (
        pytest.raises(UnreadableRecord) as stopped,
        _naming_unreadable(records, {SEGMENTS[1]: 41, KEY: 42}),
    ):
        checkpointed(checkpoints_without(topic, SEGMENTS[1], b"\xc1"))
    assert stopped.value.place == "cel2crm.aggregate-checkpoints/3/41"
    assert f"which rows call '{KEY}' has" in str(stopped.value)
    assert f"cel2crm backfill --call '{START}.1'" in str(stopped.value.remedy)


async def test_a_sealed_long_call_that_cannot_be_read_is_dropped_once_a_record_of_it_is_set_aside(
    log: Log, topic: Topic
) -> None:
    log.row("LINKEDID_END", 5)
    topic.flush(log)
    damaged = bytes([*topic.values[SEGMENTS[1]][:-9], *b"123456789"])
    records: Any = Records((SEGMENTS[0], topic.values[SEGMENTS[0]]), (SEGMENTS[1], damaged), (KEY, topic.values[KEY]))
    error = UnreadableSnapshot(KEY, ValueError("damaged"))
    with pytest.raises(UnreadableRecord) as stopped:
        await drop_unreadable(log.partition, records, error, SetAside())  # type: ignore[arg-type]
    assert stopped.value.place == "cel2crm.aggregate-checkpoints/3/2"
    await drop_unreadable(log.partition, records, error, SetAside(2))  # type: ignore[arg-type]
    assert topic.flush(log) == {SEGMENTS[0]: None, SEGMENTS[1]: None, KEY: None}


def test_keys_of_segments_are_no_calls() -> None:
    assert segment_of(segment_key("north/1795390000.1", 12)) == ("north/1795390000.1", 12)
    assert segment_of("north/#1/x") is None
    assert segment_of("#x/north/1") is None
    assert SEGMENT_ROWS < ROWS_BETWEEN_FLUSHES


def spread(log: Log) -> Any:
    """A checkpoint that offers others their turn after every call."""
    log.partition.slice = 1
    return log.partition.checkpoint()


def test_rows_that_come_while_calls_are_copied_are_in_the_snapshots_or_are_replayed() -> None:
    log = Log(PartitionState(LIMITS))
    log.row("CHAN_START", 0)
    log.row("CHAN_START", 1, call="1")
    steps = spread(log)
    assert next(steps) == GiveWay()  # the first call is copied
    log.row("ANSWER", 2)
    log.row("ANSWER", 3, call="1")
    log.row("CHAN_START", 4, call="4")
    assert steps.send(True) == GiveWay()
    steps.send(True)
    write = steps.send(True)
    assert isinstance(write, WriteSnapshots)
    first, second = (Snapshot.of(key, value or b"") for key, value in write.records)
    assert (first.covered_offset, first.complete_offset, unpacked("", first.newest).version) == (2, 2, (1, 1))
    assert (second.covered_offset, second.complete_offset, unpacked("", second.newest).version) == (5, 2, (4, 2))
    steps.send(True)
    commit = steps.send(True)
    assert isinstance(commit, Commit)
    assert (commit.offset, commit.marker.offset, commit.marker.times) == (5, 2, {"north": (START + 1) * 1000})
    assert list(log.partition._dirty) == [KEY, f"north/{START + 4}.1"]


def test_rows_of_a_long_call_that_come_while_its_segments_are_made_are_in_its_snapshot() -> None:
    log = small(Log(PartitionState(LIMITS)))
    talk(log, 7)
    steps = spread(log)
    assert next(steps) == GiveWay()
    talk(log, 3)
    written = {}
    for step in iter(lambda: steps.send(True), None):
        if isinstance(step, WriteSnapshots):
            written = dict(step.records)
            break
    assert list(written) == [*SEGMENTS, KEY]
    found = checkpointed({key: value or b"" for key, value in written.items()})[0][KEY]
    assert (found.snapshot.covered_offset, found.restored_call(KEY).version) == (10, (10, 10))


def test_a_checkpoint_without_a_flush_commits_with_the_marker_of_before(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_state, "ROWS_BETWEEN_FLUSHES", 20)
    talk(log, 2)
    steps = list(committing(log))
    assert [type(step).__name__ for step in steps] == ["AwaitSent", "Commit"]
    assert (steps[1].offset, steps[1].marker.offset) == (9, 7)
    assert not list(committing(log)), "nothing came since"
    talk(log, 17)
    assert WriteSnapshots not in map(type, committing(log))
    talk(log, 1)
    assert WriteSnapshots in map(type, committing(log))


def test_a_loss_is_flushed_by_the_next_checkpoint(log: Log) -> None:
    log.partition.lose(9)
    assert WriteSnapshots in map(type, committing(log))


def committing(log: Log) -> list[Any]:
    steps, taken, answer = log.partition.checkpoint(flush=False), [], None
    try:
        while True:
            taken.append(steps.send(answer))  # type: ignore[arg-type]  # None starts it
            answer = True
    except StopIteration:
        return taken


async def test_others_have_their_turn_while_many_calls_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    class Over(Turn):
        """A turn that is always over."""

        @property
        def is_over(self) -> bool:
            return True

    monkeypatch.setattr(assigned_partition, "Turn", Over)
    log = Log(PartitionState(LIMITS))
    log.partition.slice = 10
    for number in range(200):
        log.row("CHAN_START", number, call=str(number))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class Kafka:
        async def drain(self) -> None:
            pass

        async def write(self, records: Any) -> Any:
            assert turns > 5
            return range(len(records))

        async def commit_marked(self, tp: TP, offset: int, marker: str) -> bool:
            return offset == 200

    kafka: Any = Kafka()
    looking = asyncio.create_task(others())
    await AssignedPartition(TP("cel", 0), log.partition, kafka, kafka, kafka).checkpoint(flush=True)
    looking.cancel()
    assert LONGEST_TURN_SECONDS < 0.01
    assert not log.partition._dirty
