"""What is known of rows that were lost: the states of a call, and until when a PBX's rows may be among them."""

from itertools import product

import pytest

from streams.calls.missing_rows import Missing
from streams.calls.snapshot import Snapshot
from streams.rows.row import CapturedRow
from streams.workers.aggregate.lost_rows import CLOCKS_APART_MS, LostRows
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import CallEnded, CallWithheld
from tests.workers.aggregate.test_lost_rows import CALL, LIMITS, START, Rows, kinds, records

N, A, F, R, B = Missing.NOTHING, Missing.AFTER_ITS_END, Missing.FIRST_ROWS, Missing.ROWS, Missing.READ_AGAIN


def row(event: str, op: str) -> CapturedRow:
    uniqueid = "1795390000.1" if event == "CHAN_START" else "1795390000.2"
    return CapturedRow(id=1, eventtype=event, eventtime="x", linkedid="1795390000.1", uniqueid=uniqueid, op=op)


@pytest.mark.parametrize(("before", "after"), [(N, A), (A, A), (F, R), (R, R), (B, A)])
def test_rows_that_are_lost_after_a_call_ended_matter_if_it_goes_on_or_was_withheld(
    before: Missing, after: Missing
) -> None:
    assert before.after_loss(ended=True) is after
    assert before.after_loss(ended=False) is R


@pytest.mark.parametrize(
    ("op", "event", "after"),
    [
        # Before the row: NOTHING, AFTER_ITS_END, FIRST_ROWS, ROWS, READ_AGAIN.
        ("c", "CHAN_START", (N, R, N, R, B)),
        ("c", "HANGUP", (N, R, F, R, B)),
        ("c", "LINKEDID_END", (N, R, F, R, B)),
        ("r", "CHAN_START", (N, B, B, B, B)),
        ("r", "LINKEDID_END", (N, A, A, A, N)),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_what_a_row_tells_of_those_that_are_missing(op: str, event: str, after: tuple[Missing, ...], new: bool) -> None:
    assert tuple(state.after_row(row(event, op), new=new) for state in Missing) == after


def test_a_row_in_the_middle_that_only_the_backfill_brings_shows_that_some_were_lost() -> None:
    assert tuple(state.after_row(row("HANGUP", "r"), new=True) for state in Missing) == (N, R, F, R, B)
    assert tuple(state.after_row(row("HANGUP", "r"), new=False) for state in Missing) == (N, A, F, R, B)


def test_a_call_may_have_begun_among_the_lost_rows_up_to_a_minute_after_them() -> None:
    lost = LostRows({"north": 1000})
    limit = 1000 + CLOCKS_APART_MS
    told = [lost.may_include_first_rows("north", opened) for opened in (None, 0, limit, limit + 1)]
    assert told == [False, True, True, False]
    assert not lost.may_include_first_rows("south", 0)


@pytest.mark.parametrize("past", [-1, 0, 1])
def test_lost_rows_are_remembered_until_rows_of_then_are_too_late(past: int) -> None:
    lost = LostRows({"": 0, "north": 1000, "south": 0})
    lost.forget({"north": 1000 + CLOCKS_APART_MS + 900 + past, "south": 10**12}, 900)
    assert lost.until == ({"": 0, "south": 0} if past > 0 else {"": 0, "north": 1000, "south": 0})


@pytest.mark.parametrize(
    ("until", "left"),
    [
        ({"": 0, "north": 1000}, {}),  # the last one that is known: no other has had rows for as long
        ({"": 0}, {"": 0}),
        ({"north": 1000}, {}),
        ({"": 0, "west": 5}, {"": 0, "west": 5}),  # no row has come: its time does not run
    ],
)
def test_when_nothing_is_left_to_remember(until: dict[str, int], left: dict[str, int]) -> None:
    lost = LostRows(until)
    lost.forget({"north": 10**9}, 900)
    assert lost.until == left


def ended_and_then_lost() -> Rows:
    rows = Rows()
    rows.take(*CALL, at=0)
    assert kinds(rows.ended(2)) == [CallEnded]
    records(rows.partition)
    rows.lose(3)
    return rows


def test_the_checkpoint_says_that_rows_were_lost_after_a_call_had_ended() -> None:
    [(key, snapshot)] = records(ended_and_then_lost().partition)[0].items()
    assert Snapshot.of(key, snapshot).missing is A


@pytest.mark.parametrize(("ids", "kind"), [(range(4, 5), []), (range(90, 91), [CallWithheld])])
def test_a_backfilled_row_that_is_new_withholds_a_call_that_had_ended(ids: range, kind: list[type]) -> None:
    rows = ended_and_then_lost()
    rows.take("HANGUP", at=40, op="r", ids=ids)
    assert kinds(rows.ended(41)) == kind


def test_a_call_that_was_read_again_to_its_end_lacks_nothing_more() -> None:
    rows = Rows()
    rows.take("CHAN_START", at=0)
    rows.lose(1)
    rows.take("CHAN_START", "ANSWER", at=10, op="r", ids=range(1, 3))
    rows.take("CHAN_END", "LINKEDID_END", at=11)
    assert kinds(rows.ended(12 + LIMITS.backfill_grace_ms / 1000)) == [CallEnded]
    rows.take("HANGUP", at=50)
    assert kinds(rows.ended(51)) == [CallEnded]


def test_only_a_call_in_whose_middle_the_capture_began_was_never_captured() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    rows.take("HANGUP", "LINKEDID_END", at=1, begun=1)
    found = rows.ended(2)
    rows.take("CHAN_START", at=3, begun=3)
    rows.lose(2)
    rows.take("LINKEDID_END", at=4, begun=3)
    found += rows.ended(5)
    never = {each.call.linkedid: each.never_captured for each in found if isinstance(each, CallWithheld)}
    assert never == {"1795390001.1": True, "1795390003.1": False}


def test_every_state_and_row_has_a_state_afterwards() -> None:
    events, ops = ("CHAN_START", "HANGUP", "LINKEDID_END"), ("c", "r")
    for state, event, op, new in product(Missing, events, ops, (True, False)):
        assert state.after_row(row(event, op), new=new) in Missing


def test_a_call_whose_first_rows_may_be_among_the_lost_ones_was_captured() -> None:
    rows = Rows()
    rows.take("ANSWER", at=0)
    rows.lose(50)
    rows.take("HANGUP", "LINKEDID_END", at=30, begun=20)
    [withheld] = rows.ended(31)
    assert isinstance(withheld, CallWithheld)
    assert not withheld.never_captured


def test_a_backfilled_call_without_its_first_row_is_history_where_starts_are_logged_too() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    assert kinds(rows.ended(2)) == [CallEnded]
    rows.take("HANGUP", "LINKEDID_END", at=5, begun=1, op="r", ids=range(50, 52))
    assert kinds(rows.ended(6)) == [CallEnded]


def test_a_backfilled_call_of_which_the_table_holds_neither_end_is_history_too() -> None:
    rows = Rows()
    rows.take(*CALL, at=0)
    assert kinds(rows.ended(2)) == [CallEnded]
    rows.take("HANGUP", at=5, begun=1, op="r", ids=range(50, 51))
    assert kinds(rows.ended(5 + LIMITS.time_limit_ms / 1000)) == [CallEnded]


def test_a_call_that_begins_with_the_start_of_another_channel_lacks_that_of_its_own() -> None:
    partition = PartitionState(LIMITS)
    for number, (event, uniqueid) in enumerate((("CHAN_START", 2), ("HANGUP", 1), ("LINKEDID_END", 1))):
        captured = CapturedRow(
            id=number + 1, eventtype=event, eventtime="2026-11-23 10:00:00", linkedid=f"{START}.1",
            uniqueid=f"{START}.{uniqueid}", channame="PJSIP/trunk1-01", op="c", commit_ms=START * 1000, pbx="north",
        )  # fmt: skip
        partition.row(number, captured)
    assert partition.tick(START * 1000, 3) == []
    [withheld] = partition.tick((START + 20) * 1000, 3)
    assert isinstance(withheld, CallWithheld)
    assert withheld.never_captured
