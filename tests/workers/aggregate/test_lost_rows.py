"""Calls of which rows were lost on the topic: withheld until a backfill has read them. Seconds count from START."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from streams.calls.call import End
from streams.calls.snapshot import Snapshot
from streams.kafka.committed import Committed
from streams.rows.row import CapturedRow
from streams.workers.aggregate.lost_rows import CLOCKS_APART_MS
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.restore import restore
from streams.workers.aggregate.steps import (
    CallEnded,
    CallWithheld,
    Commit,
    Limits,
    PassedOver,
    ReadCommitted,
    ReadSnapshots,
    Replay,
    RowEffect,
    WriteSnapshots,
)

START = 1_795_390_000
LIMITS = Limits(settle_ms=50, quiet_ms=10_000, time_limit_ms=3600_000, grace_ms=900_000, backfill_grace_ms=20_000)
CALL = ("CHAN_START", "ANSWER", "HANGUP", "CHAN_END", "LINKEDID_END")


class Rows:
    """Rows given to a partition: offsets and ids rise."""

    def __init__(self, partition: PartitionState | None = None) -> None:
        self.partition = partition or PartitionState(LIMITS)
        self.last_id = self.partition.position

    def take(
        self, *events: str, at: float, begun: float = 0, op: str = "c", ids: range | None = None, pbx: str = "north"
    ) -> RowEffect | None:
        """Take rows of the call that began at `begun`; the effect of the last one."""
        effect: RowEffect | None = None
        linkedid = f"{START + int(begun)}.1"
        for number, event in enumerate(events):
            self.last_id += ids is None
            row = CapturedRow(
                id=ids[number] if ids else self.last_id,
                eventtype=event, eventtime="2026-11-23 10:00:00", linkedid=linkedid, uniqueid=linkedid,
                channame="PJSIP/trunk1-00000001", op=op, commit_ms=round((START + at) * 1000), pbx=pbx,
            )  # fmt: skip
            effect = self.partition.row(self.partition.position, row)
        return effect

    def lose(self, rows: int) -> None:
        """Retention removes the next rows."""
        self.last_id += rows
        self.partition.lose(self.partition.position + rows)

    def ended(self, at: float) -> list[Any]:
        """What the timer says, the second time with the clock well after the first."""
        now, end = round((START + at) * 1000), self.partition.position
        return [*self.partition.tick(now, end), *self.partition.tick(now + LIMITS.backfill_grace_ms, end)]


def records(partition: PartitionState) -> tuple[dict[str, bytes], Committed]:
    """What a checkpoint leaves behind."""
    steps: Any = partition.checkpoint()
    answer: bool | None = None
    written: Mapping[str, bytes | None] = {}
    committed: Committed | None = None
    try:
        while True:
            step = steps.send(answer)
            answer = True
            if isinstance(step, WriteSnapshots):
                written = dict(step.records)
            elif isinstance(step, Commit):
                committed = Committed(step.offset, step.marker.encode())
    except StopIteration:
        assert committed is not None
        return {key: value for key, value in written.items() if value is not None}, committed


def restored(committed: Committed | None, snapshots: Mapping[str, bytes], first: int = 0) -> tuple[Rows, list[Any]]:
    """A new owner, on a topic whose first offset is `first`; the steps that it took."""
    steps, taken, answer = restore(LIMITS, first, 1000), [], None
    try:
        while True:
            step = steps.send(answer)
            taken.append(step)
            answer = {ReadCommitted: committed, ReadSnapshots: snapshots}.get(type(step))  # type: ignore[arg-type]
            assert not isinstance(step, Replay) or first >= step.end, "these tests replay no rows"
            if isinstance(step, Replay):
                step.partition.lose(step.end)
    except StopIteration as done:
        rows = Rows(done.value)
        rows.last_id = rows.partition.position
        return rows, taken


def kinds(ended: list[Any]) -> list[type]:
    return [type(each) for each in ended]


def test_a_call_under_way_is_withheld_and_the_backfill_heals_it() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(2)
    rows.take("CHAN_END", "LINKEDID_END", at=5)
    [withheld] = rows.ended(6)
    assert isinstance(withheld, CallWithheld)
    assert len(withheld.call.rows) == 3
    rows.take(*CALL, at=60, op="r", ids=range(1, 6))
    [ended] = rows.ended(61)
    assert isinstance(ended, CallEnded)
    assert (ended.call.version, ended.backfilled) == ((5, 5), False)
    assert rows.ended(100) == []


def test_a_call_whose_end_was_lost_is_withheld_by_the_time_limit() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(4)
    assert rows.ended(3570) == []
    assert kinds(rows.ended(3600)) == [CallWithheld]


def test_a_call_known_from_its_middle_on_is_withheld_if_it_may_have_begun_by_then() -> None:
    rows = Rows()
    rows.take("ANSWER", at=0)  # a PBX that logs no starts
    rows.lose(50)
    rows.take("HANGUP", "CHAN_END", "LINKEDID_END", at=30, begun=20)
    later = 31 + CLOCKS_APART_MS / 1000
    rows.take("HANGUP", "CHAN_END", "LINKEDID_END", at=later, begun=later)
    found = {each.call.linkedid: type(each) for each in rows.ended(4000)}
    assert found == {
        f"{START}.1": CallWithheld,
        f"{START + 20}.1": CallWithheld,
        f"{START + int(later)}.1": CallEnded,
    }


def test_a_call_in_whose_middle_the_capture_began_is_withheld_until_it_is_backfilled() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    assert kinds(rows.ended(5)) == [CallEnded]
    rows.last_id += 2  # its first two rows were never captured: no offset tells of that
    rows.take("HANGUP", "CHAN_END", "LINKEDID_END", at=30, begun=20)
    assert kinds(rows.ended(35)) == [CallWithheld]
    rows.take(*CALL, at=40, begun=20, op="r", ids=range(6, 11))
    (ended,) = rows.ended(80)
    assert isinstance(ended, CallEnded)
    assert (ended.call.version, ended.backfilled) == ((10, 5), False)


def test_a_call_that_is_backfilled_though_it_lacks_nothing_gives_its_result_again() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    (first,) = rows.ended(5)
    rows.take(*CALL[:2], at=40, op="r", ids=range(1, 3))
    assert rows.partition.tick(round((START + 41) * 1000), rows.partition.position) == []  # the rest follows
    rows.take(*CALL[2:], at=41, op="r", ids=range(3, 6))
    (again,) = rows.ended(45)
    assert isinstance(first, CallEnded) and isinstance(again, CallEnded)
    assert (again.call.version, again.backfilled) == ((5, 5), False)
    assert rows.ended(100) == []


def test_rows_of_one_transaction_in_another_order_withhold_nothing() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    *rest, first = reversed(CALL)
    rows.take(*rest, at=20, begun=20)
    now, end = round((START + 20) * 1000), rows.partition.position
    # Well over the settle time, on a busy machine.
    done = [*rows.partition.tick(now, end), *rows.partition.tick(now + 5000, end)]
    assert [each.call.linkedid for each in done] == [f"{START}.1"]
    rows.take(first, at=20, begun=20)
    assert kinds(rows.ended(25)) == [CallEnded]


@pytest.mark.parametrize(
    ("starts", "first_row", "kind"),
    [
        ("north", ("ANSWER", "1.2"), CallWithheld),
        ("south", ("ANSWER", "1.2"), CallEnded),  # starts are not logged there
        ("north", ("CHAN_START", "1.2"), CallEnded),  # the database refused every row of the first channel
    ],
)
def test_a_channel_that_is_not_there_at_all_does_not_withhold_its_call(
    starts: str, first_row: tuple[str, str], kind: type
) -> None:
    rows = Rows()
    rows.take(*CALL, at=0, pbx=starts)
    rows.ended(5)
    linkedid = f"{START + 20}.1"
    for event, uniqueid in (first_row, ("CHAN_END", "1.2"), ("LINKEDID_END", "1.2")):
        rows.last_id += 1
        row = CapturedRow(
            id=rows.last_id, eventtype=event, eventtime="2026-11-23 10:00:20", linkedid=linkedid, uniqueid=uniqueid,
            channame="PJSIP/1001-00000002", commit_ms=(START + 20) * 1000, pbx="north",
        )  # fmt: skip
        rows.partition.row(rows.partition.position, row)
    assert kinds(rows.ended(25)) == [kind]


def test_a_call_that_begins_afterwards_is_judged_at_once() -> None:
    rows = Rows()
    rows.lose(7)
    rows.take(*CALL, at=5, begun=5)
    assert kinds(rows.partition.end_settled(0, 12)) == []
    assert kinds(rows.partition.end_settled(LIMITS.settle_ms, 12)) == [CallEnded]


def test_rows_inserted_in_reverse_end_with_the_calls_first_row_and_nothing_is_missing() -> None:
    rows = Rows()
    rows.lose(7)
    rows.take(*reversed(CALL), at=5)
    assert kinds(rows.ended(5)) == [CallEnded]


def test_a_call_that_had_ended_before_is_withheld_only_if_it_goes_on() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    rows.take(*CALL, at=1, begun=1)
    assert kinds(rows.ended(2)) == [CallEnded, CallEnded]
    rows.lose(3)
    assert rows.ended(30) == []
    rows.take("HANGUP", at=31)
    assert kinds(rows.ended(32)) == [CallWithheld]


def test_a_call_that_is_backfilled_while_it_goes_on_waits_for_the_rest_of_the_backfill() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(1)
    rows.take("CHAN_START", "ANSWER", at=10, op="r", ids=range(1, 3))
    rows.take("CHAN_END", "LINKEDID_END", at=11)
    now, end = (START + 12) * 1000, rows.partition.position
    assert rows.partition.end_settled(now, end) == []
    assert rows.partition.end_settled(now + LIMITS.backfill_grace_ms - 1, end) == []
    [ended] = rows.partition.end_settled(now + LIMITS.backfill_grace_ms, end)
    assert isinstance(ended, CallEnded)
    assert (len(ended.call.rows), ended.backfilled) == (4, False)


def test_a_backfill_that_is_cut_by_another_loss_begins_anew() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(4)
    rows.take("CHAN_START", "ANSWER", at=10, op="r", ids=range(1, 3))
    rows.lose(2)
    rows.take("LINKEDID_END", at=11, op="r", ids=range(5, 6))
    [ended] = rows.ended(12)
    assert isinstance(ended, CallEnded)
    assert ended.backfilled, "no CRM may show it: its rows 3 and 4 are missing"
    rows.take(*CALL, at=60, op="r", ids=range(1, 6))
    assert [each.call.version for each in rows.ended(61)] == [(5, 5)]


def test_a_backfilled_call_without_its_first_row_counts_as_history() -> None:
    rows = Rows()
    rows.lose(5)
    rows.take("HANGUP", at=1)
    rows.take("HANGUP", "LINKEDID_END", at=10, op="r", ids=range(6, 8))
    rows.last_id = 7
    [ended] = rows.ended(11)
    assert isinstance(ended, CallEnded)
    assert ended.backfilled
    rows.take("CHAN_END", at=12)
    assert kinds(rows.ended(13)) == [CallWithheld]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_new_owner_knows_what_the_one_before_it_lost(checkpointed: bool) -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    snapshots, committed = records(rows.partition)
    lost, _ = restored(committed, snapshots, first=10)
    if checkpointed:  # or died before that: its successor finds it anew
        found, committed = records(lost.partition)
        snapshots |= found
    again, _ = restored(committed, snapshots, first=10)
    again.take("LINKEDID_END", at=5)
    again.take("HANGUP", "LINKEDID_END", at=5, begun=4)
    assert kinds(again.ended(6)) == [CallWithheld, CallWithheld]


def test_after_a_loss_nothing_is_committed_until_the_checkpoints_know_of_it() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(3)
    for written in (False, False, True):
        taken: list[Any] = []
        steps: Any = rows.partition.checkpoint()
        answer: bool | None = None
        with suppress(StopIteration):
            while True:
                taken.append(steps.send(answer))
                answer = written if isinstance(taken[-1], WriteSnapshots) else True
        assert any(isinstance(step, Commit) for step in taken) == written


def test_a_memory_that_comes_back_empty_counts_as_lost() -> None:
    rows = Rows()
    rows.lose(10)
    records(rows.partition)
    for committed in (Committed(10, ""), None):  # set by hand to the very place, or deleted
        again, steps = restored(committed, {}, first=10)
        assert steps[-1] == PassedOver(0, 10)
        again.take("HANGUP", "LINKEDID_END", at=5, begun=4)
        assert kinds(again.ended(6)) == [CallWithheld]


def test_a_group_without_offsets_on_a_topic_that_holds_all_its_rows_has_lost_nothing() -> None:
    rows, steps = restored(None, {}, first=0)
    assert not [step for step in steps if isinstance(step, PassedOver)]
    rows.take("HANGUP", "LINKEDID_END", at=5, begun=4)
    assert kinds(rows.ended(6)) == [CallEnded]


def test_what_was_lost_is_forgotten_when_rows_from_then_are_too_late_anyway() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(5)
    rows.take("CHAN_START", at=10, begun=10)
    _, committed = records(rows.partition)
    known = Marker.decode(committed.metadata)
    assert known is not None
    assert known.lost_until == {"": 0, "north": (START + 10) * 1000}
    rows.take("CHAN_START", at=10 + 60 + 901, begun=900)
    for _ in range(2):  # the first confirms the time
        rows.take("CHAN_START", at=972, begun=972)
        _, committed = records(rows.partition)
    assert Marker.decode(committed.metadata) == Marker(committed.offset, {"north": (START + 972) * 1000})


def test_snapshots_and_markers_of_0_1_0_lack_nothing() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    snapshots, _ = records(rows.partition)
    snapshot = Snapshot.of("north/x", next(iter(snapshots.values())))
    assert Snapshot.of("north/x", old_form(snapshot)) == msgspec.structs.replace(snapshot, pbx="", end=End.NOT_SEEN)
    assert Marker.decode('{"f":3,"t":{"north":1}}') == Marker(3, {"north": 1})
    assert Marker(3, {"north": 1}).encode() == '{"f":3,"t":{"north":1}}'


def old_form(snapshot: Snapshot) -> bytes:
    """A snapshot as 0.1.0 wrote it: without the last fields."""
    fields = (snapshot.covered_offset, snapshot.last_row_ms, snapshot.ended, snapshot.backfilled, snapshot.call)
    return msgspec.msgpack.encode(fields)


def test_the_calls_that_wait_for_a_backfill_do_not_keep_the_worker_busy() -> None:
    rows = Rows(PartitionState(replace(LIMITS)))
    rows.take("CHAN_START", at=0)
    rows.lose(1)
    rows.take("LINKEDID_END", at=1)
    assert not rows.partition.settling


def test_a_call_that_lost_rows_while_it_settled_keeps_the_worker_busy_no_more() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    assert rows.partition.settling
    rows.lose(2)
    assert not rows.partition.settling
