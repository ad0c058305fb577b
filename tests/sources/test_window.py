"""`--since` and `--until`: whole calls, by their beginning."""

from collections.abc import Iterator

import pytest

from streams.rows.row import CapturedRow
from streams.sources.window import LONGEST_CALL, Window


def rows(*events: str) -> list[CapturedRow]:
    """`second event linkedid uniqueid`, ids from 1."""
    made = []
    for number, line in enumerate(events, start=1):
        second, event, linkedid, uniqueid = line.split()
        made.append(
            CapturedRow(
                id=number, eventtype=event, eventtime=f"2026-11-22 23:00:{int(second):02}", linkedid=linkedid,
                uniqueid=uniqueid,
            )
        )  # fmt: skip
    return made


TABLE = rows(
    "0 CHAN_START a a",
    "1 CHAN_START b b",
    "2 CHAN_START a a2",
    "3 CHAN_START c c",
    "4 HANGUP b b",
    "4 LINKEDID_END b b",
    "5 CHAN_START d d",
    "6 LINKEDID_END a a2",
    "7 LINKEDID_END c c",
    "8 LINKEDID_END d d",
)


@pytest.mark.parametrize(
    ("since", "until", "ids"),
    [
        (None, None, range(1, 11)),
        ("2", None, [2, 4, 5, 6, 7, 9, 10]),
        ("2026-11-22 23:00:01", "2026-11-22 23:00:05", [2, 4, 5, 6, 9]),
        (None, "2", [1, 3, 8]),
        ("2026-11-22 23:00:01", "4", [2, 5, 6]),
        ("11", None, []),
    ],
)
def test_a_call_counts_whole_by_the_first_row_of_its_calling_channel(
    since: str | None, until: str | None, ids: list[int]
) -> None:
    for in_order in (True, False):
        assert [row.id for row in Window.of(since, until).rows(TABLE, in_order=in_order)] == list(ids)


def test_nothing_is_read_on_once_the_last_call_of_the_window_has_ended() -> None:
    read = 0

    def counted() -> Iterator[CapturedRow]:
        nonlocal read
        for row in TABLE:
            read += 1
            yield row

    list(Window.of(None, "2").rows(counted(), in_order=True))
    assert read == 8


def test_a_call_without_an_end_is_not_waited_for_forever() -> None:
    late = CapturedRow(id=99, eventtype="HANGUP", eventtime="2026-11-24 23:00:00", linkedid="x", uniqueid="x")
    beyond = CapturedRow(id=100, eventtype="HANGUP", eventtime="2026-11-24 23:00:00", linkedid="c", uniqueid="c")
    found = list(Window.of("4", "5").rows([*TABLE[:8], late, beyond], in_order=True))
    assert [row.id for row in found] == [4]
    assert LONGEST_CALL < 2 * 86_400_000_000
