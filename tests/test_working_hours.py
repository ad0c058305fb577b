"""Working hours: what the settings may say, and the reckoning of time inside of them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.settings import ScheduleSettings
from streams.settings.working_hours import WorkingHours

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = {"mon-fri": "09:00-18:00", "sat": ["10:00-12:00", "13:00-15:00"]}


def us(local: str, zone: Any = BERLIN, fold: int = 0) -> int:
    """A local time such as `2026-11-27 17:59` as UTC microseconds."""
    moment = datetime.fromisoformat(local).replace(tzinfo=zone, fold=fold)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def open_at(zone: Any = BERLIN, **fields: Any) -> WorkingHours:
    return ScheduleSettings(**{"hours": WEEK, **fields}).within(zone)


# 2026-11-27 is a Friday.


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-27 08:59:59.999999", False),
        ("2026-11-27 09:00", True),
        ("2026-11-27 17:59:59.999999", True),
        ("2026-11-27 18:00", False),
        ("2026-11-28 11:59", True),
        ("2026-11-28 12:00", False),
        ("2026-11-28 13:00", True),
        ("2026-11-29 13:00", False),
    ],
)
def test_a_week(at: str, is_open: bool) -> None:
    assert open_at().is_open(us(at)) is is_open


def test_the_zone_is_the_schedules_own_else_that_of_the_call() -> None:
    nine = us("2026-11-27 09:00")
    assert open_at().is_open(nine) and not open_at(ZoneInfo("America/New_York")).is_open(nine)
    assert open_at(ZoneInfo("America/New_York"), timezone="Europe/Berlin").is_open(nine)
    assert open_at(timezone(timedelta(hours=3))).is_open(us("2026-11-27 09:00", ZoneInfo("Europe/Moscow")))


@pytest.mark.parametrize(
    ("hours", "at", "is_open"),
    [
        ({"fri": "22:00-06:00"}, "2026-11-27 21:59", False),
        ({"fri": "22:00-06:00"}, "2026-11-27 23:30", True),
        ({"fri": "22:00-06:00"}, "2026-11-28 05:59", True),
        ({"fri": "22:00-06:00"}, "2026-11-28 06:00", False),
        ({"fri": "22:00-06:00"}, "2026-11-27 05:00", False),
        ({"fri": "18:00-00:00"}, "2026-11-27 23:59:59", True),
        ({"fri": "18:00-24:00"}, "2026-11-28 00:00", False),
        ({"sat-mon": "00:00-24:00"}, "2026-11-30 12:00", True),
        ({"sat-mon": "00:00-24:00"}, "2026-12-01 00:00", False),
        ({"Mon, Fri": "9:00-10:00, 12:00-13:00"}, "2026-11-27 12:30", True),
        ({"mon-fri": "09:00-18:00", "sun": "closed"}, "2026-11-29 12:30", False),
    ],
)
def test_spans(hours: dict[str, Any], at: str, is_open: bool) -> None:
    assert open_at(hours=hours).is_open(us(at)) is is_open


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-12-31 12:00", True),
        ("2026-12-31 13:00", False),  # it has other hours
        ("2027-01-01 12:00", False),
        ("2027-01-04 12:00", False),
        ("2027-01-05 12:00", True),  # other hours within holidays
        ("2027-01-07 12:00", False),
        ("2027-01-08 12:00", False),
        ("2027-01-11 12:00", True),
        ("2027-01-10 12:00", True),  # a Sunday
    ],
)
def test_dates_that_differ(at: str, is_open: bool) -> None:
    other = {
        "2026-12-31": "09:00-13:00",
        "2027-01-05": "10:00-14:00",
        "2027-01-08": "closed",
        "2027-01-10": "11:00-13:00",
    }
    schedule = open_at(holidays=["2027-01-01..2027-01-07"], other_hours=other)
    assert schedule.is_open(us(at)) is is_open


def test_a_night_shift_that_began_before_the_holiday_is_worked_to_its_end() -> None:
    schedule = open_at(hours={"mon-sun": "22:00-06:00"}, holidays=["2027-01-01"])
    assert schedule.is_open(us("2027-01-01 05:00"))
    assert not schedule.is_open(us("2027-01-01 23:00")) and not schedule.is_open(us("2027-01-02 05:00"))


def test_clocks_that_change() -> None:
    """In Berlin on 2026-03-29 02:00 becomes 03:00, on 2026-10-25 03:00 becomes 02:00."""
    day = open_at(hours={"mon-sun": "09:00-18:00"})
    assert day.is_open(us("2026-03-28 08:00", UTC)) and not day.is_open(us("2026-03-28 07:59", UTC))
    assert day.is_open(us("2026-03-29 07:00", UTC)) and not day.is_open(us("2026-03-29 06:59", UTC))
    assert day.is_open(us("2026-10-24 07:00", UTC)) and not day.is_open(us("2026-10-25 07:59", UTC))
    night = open_at(hours={"sat": "22:00-06:00"})
    # Seven hours and nine, by the clock always eight.
    assert night.add_working_minutes(us("2026-03-28 22:00"), 7 * 60) == us("2026-03-29 06:00")
    assert night.add_working_minutes(us("2026-10-24 22:00"), 9 * 60) == us("2026-10-25 06:00")
    assert night.is_open(us("2026-10-25 02:30", fold=0)) and night.is_open(us("2026-10-25 02:30", fold=1))
    left_out = open_at(hours={"sun": ["02:30-04:00"]})
    assert left_out.next_opening(us("2026-03-29 00:00")) == us("2026-03-29 03:30")
    twice = open_at(hours={"sun": ["02:30-04:00"]})
    assert twice.next_opening(us("2026-10-25 00:00")) == us("2026-10-25 02:30", fold=0)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-27 08:00", "2026-11-27 09:00"),
        ("2026-11-27 12:00", "2026-11-27 12:00"),
        ("2026-11-27 18:00", "2026-11-28 10:00"),
        ("2026-11-28 15:00", "2026-11-30 09:00"),
    ],
)
def test_the_next_opening(at: str, opens: str) -> None:
    assert open_at().next_opening(us(at)) == us(opens)


@pytest.mark.parametrize(
    ("at", "minutes", "ends"),
    [
        ("2026-11-27 09:00", 30, "2026-11-27 09:30"),
        ("2026-11-27 17:45", 15, "2026-11-27 18:00"),
        ("2026-11-27 17:45", 16, "2026-11-28 10:01"),
        ("2026-11-28 11:00", 90, "2026-11-28 13:30"),
        ("2026-11-29 03:00", 60, "2026-11-30 10:00"),
        ("2026-11-30 09:00", 5 * 9 * 60 + 4 * 60 + 1, "2026-12-07 09:01"),
    ],
)
def test_minutes_of_work(at: str, minutes: int, ends: str) -> None:
    assert open_at().add_working_minutes(us(at), minutes) == us(ends)


def test_what_never_opens_again_is_told() -> None:
    schedule = open_at(hours={}, other_hours={"2026-11-27": "09:00-18:00"})
    assert schedule.next_opening(us("2026-11-26 12:00")) == us("2026-11-27 09:00")
    assert schedule.next_opening(us("2026-11-27 18:00")) is None
    assert schedule.add_working_minutes(us("2026-11-27 09:00"), 9 * 60 + 1) is None


def test_spans_that_overlap_count_once() -> None:
    schedule = open_at(hours={"mon": ["09:00-12:00", "10:00-11:00", "11:00-13:00"]})
    assert schedule.add_working_minutes(us("2026-11-30 09:00"), 4 * 60) == us("2026-11-30 13:00")


@given(
    at=st.integers(us("2026-01-01 00:00"), us("2027-12-31 00:00")),
    minutes=st.integers(0, 20_000),
    night=st.booleans(),
    zone=st.sampled_from(["Europe/Berlin", "Europe/Moscow", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut"]),
)
def test_work_passes_only_while_it_is_open(at: int, minutes: int, night: bool, zone: str) -> None:
    """Counted anew minute by minute, without a look at the spans."""
    hours = {"mon-fri": "21:30-05:15", "sun": "00:00-24:00"} if night else WEEK
    schedule = open_at(ZoneInfo(zone), hours=hours)
    at -= at % 60_000_000
    end = schedule.add_working_minutes(at, minutes % 1500)
    assert end is not None and end >= at
    minute = 60_000_000
    assert sum(schedule.is_open(each) for each in range(at, end, minute)) == minutes % 1500
    opening = schedule.next_opening(at)
    assert opening is not None and schedule.is_open(opening)
    assert not any(schedule.is_open(each) for each in range(at, opening, 7 * minute))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hours": {}}, "it never opens"),
        ({"hours": {"mon": "closed"}}, "it never opens"),
        ({"hours": {"mon": "9-18"}}, "hours.mon: '9-18' is no span of time; allowed: 09:00-18:00, 22:00-06:00"),
        ({"hours": {"mon": "09:00-25:00"}}, "'09:00-25:00' is no span"),
        ({"hours": {"mon": "09:60-18:00"}}, "'09:60-18:00' is no span"),
        ({"hours": {"mon": "24:00-25:00"}}, "is no span"),
        ({"hours": {"mon": ["09:00-12:00", "closed"]}}, "'closed' is no span"),
        ({"hours": {"mon": "09:00-09:00"}}, "has no length; the whole day is 00:00-24:00"),
        ({"hours": {"mo": "09:00-18:00"}}, "hours: 'mo' names no days; allowed: mon, tue"),
        ({"hours": {"mon-": "09:00-18:00"}}, "names no days"),
        ({"hours": {"mon-wed": "09:00-18:00", "tue": "10:00-12:00"}}, "hours.tue: tue is there twice"),
        ({"hours": {"mon": 9}}, "valid string"),
        ({"holidays": ["1 January"]}, "holidays: '1 January' is no date such as 2027-01-01 or 2027-01-01..2027-01-08"),
        ({"holidays": ["2027-01-08..2027-01-01"]}, "ends before it begins"),
        ({"holidays": ["2027-02-30"]}, "is no date"),
        ({"other_hours": {"31.12.": "09:00-13:00"}}, "other_hours: '31.12.' is no date such as 2027-01-01"),
        ({"other_hours": {"2026-12-31": "short"}}, "other_hours.2026-12-31: 'short' is no span"),
        ({"timezone": "Moscow"}, "such as Europe/Moscow"),
        ({"days": {}}, "days"),
    ],
)
def test_what_cannot_be_read_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as refused:
        ScheduleSettings(**{"hours": WEEK, **fields})
    assert told in str(refused.value)
