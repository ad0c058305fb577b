"""Which phone rang in vain last: the person who should call back."""

import pytest

from tests.calls.tables import outcome
from tests.calls.test_participants import COMES_IN, ENDS, in_order


def ring(number: str, counter: int, start: int, end: float, how: str = "", *, came: str = "start") -> str:
    """A phone that rings from `start` to `end`; `how`: it answered, or declined (its own word ended it)."""
    name = f"PJSIP/{number}-0{counter}"
    lines = [f"{start} {came} {name} {counter} num={number} context=from-internal"]
    lines += [f"{start} answer {name} {counter}"] * (how == "answered")
    source = f" source={name}" if how == "declined" else ""
    return "\n".join([*lines, f"{end} hangup {name} {counter} cause=16/{source}", f"{end} end {name} {counter}\n"])


@pytest.mark.parametrize(
    ("phones", "last"),
    [
        ([], None),
        ([("1001", 1, 1, 9)], "1001"),
        ([("1001", 1, 1, 9, "declined")], "1001"),
        ([("1001", 1, 1, 9), ("1002", 2, 1, 5)], "1001"),  # rang longer
        ([("1001", 1, 1, 5), ("1002", 2, 1, 9)], "1002"),
        # Together, within a second: the one that began last; beyond it, the one that rang longer.
        ([("1001", 1, 2, 9), ("1002", 2, 1, 9)], "1001"),
        ([("1001", 1, 2, 8), ("1002", 2, 1, 9)], "1001"),
        ([("1001", 1, 2, 7.9), ("1002", 2, 1, 9)], "1002"),
        # One that declined, or answered, only where no other rang.
        ([("1001", 1, 1, 5), ("1002", 2, 1, 9, "declined")], "1001"),
        ([("1001", 1, 1, 5), ("1002", 2, 1, 9, "answered")], "1001"),
        ([("1001", 1, 1, 5, "declined"), ("1002", 2, 1, 9, "answered")], "1001"),
        ([("1001", 1, 1, 5, "declined"), ("1002", 2, 1, 9, "declined")], "1002"),
        ([("1001", 1, 1, 5, "answered"), ("1002", 2, 1, 9, "answered")], "1002"),
    ],
)
def test_the_phone_that_rang_in_vain_last(phones: list[tuple[str, int, int, float]], last: str | None) -> None:
    assert outcome(in_order(COMES_IN, *(ring(*each) for each in phones), ENDS)).rang_last == last


def test_a_phone_that_rings_still_rang_until_the_last_row() -> None:
    rows = in_order(COMES_IN, ring("1001", 1, 1, 80), "1 start PJSIP/1002-02 2 num=1002 context=from-internal\n", ENDS)
    assert outcome(rows).rang_last == "1002"


def test_who_came_from_a_call_of_their_own_did_not_ring_where_starts_are_logged() -> None:
    came, rang = ring("1002", 2, 3, 20, came="app_end"), ring("1001", 1, 1, 9)
    assert outcome(in_order(COMES_IN, came, rang, ENDS)).rang_last == "1001"
    assert outcome(in_order(COMES_IN, came, ENDS)).rang_last is None
    no_starts = in_order(COMES_IN, came, rang, ENDS).replace(" start ", " app_end ")
    assert outcome(no_starts).rang_last == "1002"


def test_the_caller_did_not_ring() -> None:
    assert outcome("0 start PJSIP/1001-01 0 num=1001 exten=1002 context=from-internal").rang_last is None
