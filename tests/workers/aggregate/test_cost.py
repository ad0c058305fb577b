"""What the worker does every second, and at every checkpoint, costs what is due and not what is remembered."""

import sys
import tracemalloc
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from streams.rows.row import CapturedRow, RowDecoder
from streams.workers.aggregate import remembered_calls
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import Limits
from streams.workers.aggregate.tracked_call import TrackedCall
from tests.bench.remembered import RecordedCalls, checkpoint, end_all

START = 1_795_390_000
LIMITS = Limits(settle_ms=50, quiet_ms=10_000, time_limit_ms=3600_000, grace_ms=900_000, backfill_grace_ms=20_000)
MANY = 500
LAST = MANY - 1


class Looks:
    """Which calls were looked at: by a read of any of their attributes."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def counted(self) -> type[TrackedCall]:
        """A call that tells when it is looked at."""
        seen = self.seen

        class Counted(TrackedCall):
            def __getattribute__(self, name: str) -> Any:
                seen.add(id(self))
                return super().__getattribute__(name)

        return Counted

    def during(self, act: Any) -> int:
        """How many calls were looked at meanwhile."""
        self.seen.clear()
        act()
        return len(self.seen)


class Partition:
    """A partition that is told rows, each of a call by its number, which begins at that second."""

    def __init__(self) -> None:
        self.state = PartitionState(LIMITS)

    def row(self, event: str, call: int, second: float, pbx: str = "north", row_id: int | None = None) -> None:
        """Take a row; `row_id`: of one that the call knows."""
        offset, linkedid = self.state.position, f"{START + call}.1"
        self.state.row(
            offset,
            CapturedRow(
                id=row_id or offset + 1, eventtype=event, eventtime="2026-11-23 10:00:00", linkedid=linkedid,
                uniqueid=linkedid, channame="PJSIP/trunk1-00000001", commit_ms=round((START + second) * 1000), pbx=pbx,
            ),
        )  # fmt: skip

    def tick(self, second: float, *, caught_up: bool = True) -> int:
        """Let the timer run; how many calls it ended."""
        return len(self.state.tick(round((START + second) * 1000), self.state.position + (not caught_up)))

    def checkpoint(self) -> None:
        """All of it succeeds."""
        steps = self.state.checkpoint()
        answer: bool | None = None
        try:
            while True:
                steps.send(answer)  # type: ignore[arg-type]  # None starts it
                answer = True
        except StopIteration:
            return


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    found = Looks()
    monkeypatch.setattr(remembered_calls, "TrackedCall", found.counted())
    return found


def test_the_timer_looks_at_calls_that_are_due(looks: Looks) -> None:
    partition = Partition()
    for number in range(MANY):
        partition.row("CHAN_START", number, number)
    partition.row("CHAN_END", 7, LAST)
    partition.tick(LAST)
    assert looks.during(lambda: partition.tick(LAST + 9)) == 0
    assert looks.during(lambda: partition.tick(LAST + 10)) == 1
    assert partition.state.open_calls == MANY - 1
    assert looks.during(lambda: partition.tick(3600)) == 1
    assert partition.state.open_calls == MANY - 2


def test_the_timer_looks_at_no_more_where_stream_time_stands_in_for_the_clock(looks: Looks) -> None:
    partition = Partition()
    for number in range(MANY):
        partition.row("CHAN_START", number, 0)
    partition.row("CHAN_END", 7, 5)
    partition.row("CHAN_START", MANY, 15)
    assert looks.during(lambda: partition.tick(9999, caught_up=False)) == 1
    assert looks.during(lambda: partition.tick(9999, caught_up=False)) == 0


def test_a_call_whose_rows_go_on_is_looked_at_once_a_wait(looks: Looks) -> None:
    partition = Partition()
    for second in range(3600):
        partition.row("DTMF", 0, second)
    looked = sum(looks.during(lambda at=second: partition.tick(at)) for second in range(3600, 7190))
    assert looked == 1


def test_calls_that_wait_for_a_backfill_are_not_looked_at_with_those_that_settle(looks: Looks) -> None:
    partition = Partition()
    for number in range(MANY):
        partition.row("CHAN_START", number, LAST)
    partition.state.lose(partition.state.position)
    for number in range(MANY):
        partition.row("LINKEDID_END", number, LAST)
    partition.tick(LAST)
    assert not partition.state.settling
    partition.row("CHAN_START", MANY, LAST)
    partition.row("LINKEDID_END", MANY, LAST)
    assert partition.state.settling
    partition.tick(LAST)
    end, now = partition.state.position, (START + LAST) * 1000
    assert looks.during(lambda: partition.state.end_settled(now + 49, end)) == 0
    assert looks.during(lambda: partition.state.end_settled(now + 50, end)) == 1
    assert not partition.state.settling


def test_a_checkpoint_looks_at_calls_that_changed_or_may_be_forgotten(looks: Looks) -> None:
    partition = Partition()
    for number in range(MANY):
        partition.row("LINKEDID_END", number, number)
        partition.tick(number, caught_up=False)
    partition.tick(LAST)
    partition.tick(LAST + 1)
    partition.checkpoint()
    assert looks.during(partition.checkpoint) == 0
    partition.row("CHAN_START", 1000, 903)
    assert looks.during(partition.checkpoint) == 1
    assert looks.during(partition.checkpoint) == 3, "the calls of seconds 0, 1 and 2 may be forgotten"
    assert len(partition.state.calls) == MANY + 1 - 3


def test_until_when_calls_are_complete_is_told_by_a_look_at_the_first_one(looks: Looks) -> None:
    partition = Partition()
    for number in range(MANY):
        partition.row("CHAN_START", number, number)
    assert looks.during(partition.state.first_open_calls) == 1
    assert partition.state.first_open_calls()["north"].call_id == f"north/{START}.1"


def longest_piece(looks: Looks, partition: Partition) -> int:
    """How many calls a checkpoint looks at between two turns that it offers to others, at most."""
    steps, found = partition.state.checkpoint(), list[int]()
    try:
        while True:
            found.append(looks.during(lambda: steps.send(True if found else None)))  # type: ignore[arg-type]
    except StopIteration:
        return max(found)


def test_a_checkpoint_offers_turns_to_others_however_many_calls_changed_or_are_forgotten(looks: Looks) -> None:
    partition = Partition()
    partition.state.slice = 50
    for number in range(MANY):
        partition.row("CHAN_START", number, LAST)
    assert longest_piece(looks, partition) <= 50, "copied"
    for number in range(MANY):
        partition.row("LINKEDID_END", number, LAST)
    partition.tick(LAST)
    partition.tick(LAST + 1)
    assert longest_piece(looks, partition) <= 50, "copied, and sealed"
    assert all(each.sealed for each in partition.state.calls.values())
    for number in range(MANY):
        partition.row("CHAN_START", number, LAST, row_id=number + 1)  # a row that the call knows thaws it
    assert longest_piece(looks, partition) <= 50, "sealed again"
    assert all(each.sealed for each in partition.state.calls.values())
    partition.row("CHAN_START", 10_000, 10_000)
    partition.checkpoint()
    assert longest_piece(looks, partition) <= 50, "forgotten"
    assert partition.state.open_calls == len(partition.state.calls) == 1


def test_the_orders_of_calls_keep_no_memory_of_those_that_ended() -> None:
    partition = Partition()
    for number in range(5 * MANY):
        partition.row("CHAN_START", number, number)
        partition.row("CHAN_END", number, number)
        partition.row("LINKEDID_END", number, number)
        partition.tick(number, caught_up=False)
    opened = partition.state._open
    assert partition.state.open_calls == 1
    assert len(opened._quiet["north"]._heap) < 100  # each stood there for an hour to come
    assert len(opened._by_stream["north"]._heap) < 100


def test_the_time_of_one_pbx_is_no_reason_to_look_at_calls_of_another(looks: Looks) -> None:
    partition = Partition()
    partition.state = PartitionState(replace(LIMITS, settle_ms=0))
    for number in range(MANY):
        partition.row("LINKEDID_END", number, 0)
    partition.row("CHAN_START", 100_000, 100_000, pbx="south")
    partition.checkpoint()
    assert looks.during(partition.checkpoint) == 0
    assert len(partition.state.calls) == MANY + 1


def test_a_recorded_call_that_ended_takes_at_most_one_and_a_half_kilobytes() -> None:
    """In the mean of the recorded calls of 18 to 69 rows; `python -m tests.bench --only remembered` measures more."""
    count = 200
    snapshots = recorded_snapshots(count)
    partition = PartitionState(LIMITS)
    tracemalloc.start()
    try:
        partition.adopt(dict(snapshots), Marker(1, {"pbx1": START * 1000}), 1, sys.maxsize)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(each.sealed for each in partition.calls.values())
    names = sum(map(sys.getsizeof, snapshots))  # read by whoever asks for the adoption
    assert (kept + names) / count < 1536


def recorded_snapshots(count: int) -> dict[str, bytes]:
    """The checkpoint of so many recorded calls that ended."""
    decoder, partition = RowDecoder(), PartitionState(LIMITS)
    for copy in RecordedCalls().copies(count):
        for record in copy:
            row = decoder.decode(record)
            partition.row(partition.position, msgspec.structs.replace(row, id=partition.position + 1))
    end_all(partition)
    written = {key: value for key, value in checkpoint(partition).items() if value is not None}
    assert len(written) == count
    return written
