"""The PBX's wall clock and UTC."""

import pytest

from streams.calls.timeline import Timeline
from streams.clock import MICROS_PER_SECOND
from streams.rows.row import CelRow


def row(event: str, eventtime: str, epoch: int) -> CelRow:
    return CelRow(id=1, eventtype=event, eventtime=eventtime, linkedid=f"{epoch}.0", uniqueid=f"{epoch}.0")


@pytest.mark.parametrize(
    ("eventtime", "offset"),
    [
        ("2026-11-22 23:23:00", 0),
        ("2026-11-23 02:23:00", 3 * 3600),
        ("2026-11-23 04:53:01", 5 * 3600 + 1800),
        ("2026-11-22 18:23:00", -5 * 3600),
    ],
)
def test_the_second_in_uniqueid_tells_the_offset(eventtime: str, offset: int) -> None:
    timeline = Timeline(None)
    assert timeline.instant(row("CHAN_START", eventtime, 1795389780)) // MICROS_PER_SECOND - 1795389780 in {0, 1}
    assert (timeline.offset, timeline.source) == (offset, "uniqueid")


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_clocks_that_go_back_in_mid_call_make_no_negative_duration(zone: str | None) -> None:
    timeline = Timeline(zone)
    start = timeline.instant(row("CHAN_START", "2026-10-25 02:59:00", 1792889940))
    end = timeline.instant(row("CHAN_END", "2026-10-25 02:01:00", 1792889940))
    assert (end - start) // MICROS_PER_SECOND == 120


def test_clocks_that_go_forward_in_mid_call_are_known_from_the_zone() -> None:
    timeline = Timeline("Europe/Berlin")
    start = timeline.instant(row("CHAN_START", "2026-03-29 01:59:00", 1774745940))
    end = timeline.instant(row("CHAN_END", "2026-03-29 03:01:00", 1774745940))
    assert (end - start) // MICROS_PER_SECOND == 120


def test_a_zone_that_disagrees_with_uniqueid_is_not_believed_and_told() -> None:
    timeline = Timeline("Europe/Berlin")
    timeline.instant(row("CHAN_START", "2026-11-22 23:23:00", 1795389780))
    assert (timeline.offset, timeline.disagrees) == (0, True)


def test_a_time_that_cannot_be_read_is_the_row_before() -> None:
    timeline = Timeline(None)
    start = timeline.instant(row("CHAN_START", "2026-11-22 23:23:00", 1795389780))
    assert timeline.instant(row("ANSWER", "damaged", 1795389780)) == start
