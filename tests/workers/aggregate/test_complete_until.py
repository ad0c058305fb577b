"""Until when a partition's calls are complete: marks of capture, open calls, what was told before."""

from random import Random

import pytest

from streams.calls.capture_mark import CaptureMark
from streams.workers.aggregate.complete_until import ROW_DELAY_MS, Complete, Completeness, OpenSince, Told
from streams.workers.aggregate.remembered_calls import RememberedCalls
from tests.workers.aggregate.scenario import LIMITS, START, arrivals

HOUR = 3_600_000
NOON = 1_795_390_000_000


def mark(until_ms: int, end: int, pbx: str = "office") -> CaptureMark:
    return CaptureMark(pbx, until_ms, {0: end, 1: 0})


def told(completeness: Completeness, position: int, **first_open: OpenSince) -> list[Complete]:
    """What is due, and then stands on the topic."""
    due = completeness.due(position, first_open)
    completeness.acknowledged(due)
    return due


def test_nothing_is_told_before_the_rows_of_a_mark_are_taken() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, end=10))
    assert told(completeness, 9) == []
    (complete,) = told(completeness, 10)
    assert complete == Complete("office", NOON - ROW_DELAY_MS, NOON, None)
    assert told(completeness, 11) == []  # once is enough


def test_it_moves_while_no_row_comes() -> None:
    completeness = Completeness(0, {})
    for minute in range(5):
        completeness.take(mark(NOON + minute * 60_000, end=0))
        (complete,) = told(completeness, 0)
        assert complete.until_ms == NOON + minute * 60_000 - ROW_DELAY_MS


def test_the_first_open_call_holds_it_back_and_is_named() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, end=10))
    began = NOON - HOUR
    (complete,) = told(completeness, 10, office=OpenSince("office/1.1", began))
    assert complete.held_by == "office/1.1"
    assert began - 5_000 < complete.until_ms < began
    (complete,) = told(completeness, 12)  # it has ended: no new mark is needed
    assert complete == Complete("office", NOON - ROW_DELAY_MS, NOON, None)


def test_a_call_that_began_after_holds_nothing_back() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, end=10))
    (complete,) = told(completeness, 10, office=OpenSince("office/1.1", NOON - 1_000))
    assert complete == Complete("office", NOON - ROW_DELAY_MS, NOON, None)


def test_a_call_whose_beginning_nobody_knows_stops_it() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, end=10))
    assert told(completeness, 10, office=OpenSince("office/odd", None)) == []


def test_a_worker_that_lags_behind_tells_of_the_mark_that_it_has_reached() -> None:
    """Newer marks must not put off for ever the one that it is about to reach."""
    completeness = Completeness(0, {})
    for minute in range(30):
        completeness.take(mark(NOON + minute * 60_000, end=100 * (minute + 1)))
    (complete,) = told(completeness, 250)
    assert complete.captured_ms == NOON + 60_000
    (complete,) = told(completeness, 3_000)
    assert complete.captured_ms == NOON + 29 * 60_000


def test_a_topic_that_was_made_anew_needs_its_own_mark() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, end=1_000_000))
    completeness.take(mark(NOON + HOUR, end=3))
    assert told(completeness, 2) == []
    (complete,) = told(completeness, 3)
    assert complete.captured_ms == NOON + HOUR


def test_a_new_owner_tells_nothing_earlier_than_what_stands_there() -> None:
    """It may have less than its predecessor had: rows are replayed, calls open again."""
    stands = {"office": Told(NOON - ROW_DELAY_MS, NOON)}
    completeness = Completeness(0, stands)
    completeness.take(mark(NOON - HOUR, end=5))  # not compacted yet
    completeness.take(mark(NOON, end=10))
    assert told(completeness, 7) == []
    assert told(completeness, 10, office=OpenSince("office/1.1", NOON - HOUR)) == []
    completeness.take(mark(NOON + 60_000, end=10))
    assert [each.until_ms for each in told(completeness, 10)] == [NOON + 60_000 - ROW_DELAY_MS]


def test_it_goes_back_only_with_the_clock_of_the_database() -> None:
    """A clock that was wrong for a while must not say for years that everything is there."""
    year = 365 * 24 * HOUR
    completeness = Completeness(0, {"office": Told(NOON + year - ROW_DELAY_MS, NOON + year)})
    completeness.take(mark(NOON + year, end=9))
    assert told(completeness, 9) == []
    completeness.take(mark(NOON, end=10))
    assert told(completeness, 9) == []
    (complete,) = told(completeness, 10)
    assert (complete.until_ms, complete.set_back) == (NOON - ROW_DELAY_MS, True)
    assert told(completeness, 10) == []
    completeness.take(mark(NOON + 60_000, end=10))
    (complete,) = told(completeness, 10)
    assert (complete.until_ms, complete.set_back) == (NOON + 60_000 - ROW_DELAY_MS, False)


def test_each_pbx_has_its_own_time() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, 10, "office"))
    completeness.take(mark(NOON + HOUR, 20, "branch"))
    assert [each.pbx for each in told(completeness, 10, branch=OpenSince("branch/1.1", None))] == ["office"]
    assert [each.pbx for each in told(completeness, 20)] == ["branch"]


def test_what_was_not_acknowledged_is_told_again() -> None:
    completeness = Completeness(0, {})
    completeness.take(mark(NOON, end=0))
    assert completeness.due(0, {}) == completeness.due(0, {}) != []


def test_a_mark_is_read_as_it_was_written() -> None:
    assert CaptureMark.decode(mark(NOON, 10).encode()) == mark(NOON, 10)


@pytest.mark.parametrize("seed", range(20))
def test_the_first_open_call_is_that_of_all_open_calls(seed: int) -> None:
    calls = RememberedCalls(LIMITS, 0, None, None)
    for offset, arrival in enumerate(arrivals(Random(seed))):
        calls.row(offset, arrival.row)
        if offset % 3 == 0:
            calls.tick(arrival.at, offset + 1)
        opened = {key: each for key, each in calls.calls.items() if not each.ended}
        for pbx in ("north", "south"):
            of_pbx = [each.opened_at_ms for each in opened.values() if each.pbx == pbx]
            first = calls.first_open_calls().get(pbx)
            assert (first is None) is (not of_pbx)
            if first is not None:
                assert first.opened_at_ms == (None if None in of_pbx else min(each or 0 for each in of_pbx))
                assert first.opened_at_ms is None or first.opened_at_ms >= START - HOUR
