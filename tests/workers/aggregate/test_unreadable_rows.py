"""When unreadable rows say that their source is at fault, and the worker must not fill the dead letters."""

import pytest

from streams.workers.aggregate.unreadable_rows import UnreadableRows


def counted(rows: str, window: int = 10, max_share: float = 0.5) -> UnreadableRows:
    """Rows one after the other: `.` can be read, any other character is why one cannot."""
    counter = UnreadableRows(window, max_share)
    for row in rows:
        counter.add(None if row == "." else row)
    return counter


def stops_at(rows: str, window: int = 10, max_share: float = 0.5) -> int | None:
    """The number of the row before which a worker stops."""
    counter = UnreadableRows(window, max_share)
    for number, row in enumerate(rows):
        counter.add(None if row == "." else row)
        if row != "." and counter.too_many:
            return number
    return None


@pytest.mark.parametrize(
    ("rows", "stops"),
    [
        ("x" * 10, 5),
        ("." * 100 + "x" * 10, 105),
        (".x" * 50, None),
        ("..x" * 50, None),
        (".xx" * 50, 8),
        ("xxxxx" + "." * 10 + "xxxxx" + "." * 10, None),
        ("xxxxx" + "....." + "xxxxx" + "x", 15),
    ],
    ids=["nothing but rubbish", "after a good time", "one in two", "one in three", "two in three", "apart", "in a row"],
)
def test_more_than_the_share_of_a_window_is_too_many(rows: str, stops: int | None) -> None:
    assert stops_at(rows) == stops


@pytest.mark.parametrize("rows", ["x", "xx.", "xxxxx", "....."])
def test_a_few_bad_rows_among_the_first_few_stop_nothing(rows: str) -> None:
    assert not counted(rows).too_many


def test_one_lets_everything_pass_and_zero_nothing() -> None:
    assert stops_at("x" * 100, max_share=1) is None
    assert not counted("", max_share=1).can_be_too_many
    assert stops_at("..x", max_share=0) == 2
    assert counted("", max_share=0.99).can_be_too_many


def test_readable_rows_make_room_again() -> None:
    assert counted("x" * 6).too_many
    assert counted("x" * 6 + "....").too_many
    assert not counted("x" * 6 + ".....").too_many


def test_the_message_says_the_share_the_commonest_reasons_the_place_and_what_to_do() -> None:
    counter = counted("aabbbcdeef", window=10)
    error = counter.error("pbx.cel/3/1207")
    assert "10 of the last 10 CEL rows cannot be read" in error.problem
    assert "pbx.cel/3/1207" in error.problem
    assert "\n  3 times: b\n  2 times: a\n  2 times: e\n  and 3 other reasons" in error.problem
    for word in ("aggregate.max_unreadable_share: 1", "database.column_name_aliases", "dead-letters retry"):
        assert word in error.remedy


def test_a_reason_from_outside_does_not_fill_the_message() -> None:
    counter = UnreadableRows(2, 0.5)
    counter.add("x" * 10_000)
    counter.add("x" * 10_000)
    assert len(counter.error("cel/0/0").problem) < 800
