"""Working hours: `working_hours:`, schedules by name, and the reckoning of time inside of them. Pure.

A schedule is week days with spans of local time, and dates that differ. Local times are read as iCalendar reads them
(RFC 5545, 3.3.5): of a time that comes twice, when clocks are set back, the first one counts, and a time that is left
out, when they are set forward, is as long after midnight as if they had not been.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from streams.clock import UtcMicros
from streams.settings.section import Section
from streams.settings.values import ZoneName

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOSED = "closed"
HORIZON_DAYS = 800
"""A schedule that opens no more within so many days never does."""

Span = tuple[int, int]
"""[from, to) in minutes of local time from the midnight at which its day begins; the end may be of the next day."""

_DAY_MINUTES = 24 * 60
_MOMENT = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPAN = re.compile(r"\s*(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)\s*")


def _texts(value: Any) -> Any:
    """A text or a list as a tuple; YAML's dates as texts."""
    many = value if isinstance(value, list | tuple) else (value,)
    return tuple(each.isoformat() if type(each) is date else each for each in many)


def _by_texts(value: Any) -> Any:
    """A mapping with YAML's dates among its keys as texts."""
    if not isinstance(value, dict):
        return value
    return {key.isoformat() if type(key) is date else key: inner for key, inner in value.items()}


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class ScheduleSettings(Section):
    """When a company, or a part of one, is at work."""

    timezone: ZoneName | None = None
    """The zone of its times; None: that of the PBX whose call it is."""
    hours: Annotated[dict[str, Texts], BeforeValidator(_by_texts)] = Field(default_factory=dict)
    """Days (mon, mon-fri, or several with commas): spans such as 09:00-18:00; 22:00-06:00 ends on the day after. Days
    that are not named are closed."""
    holidays: Texts = ()
    """Dates (2027-01-01), or first and last (2027-01-01..2027-01-08), on which no span begins."""
    other_hours: Annotated[dict[str, Texts], BeforeValidator(_by_texts)] = Field(default_factory=dict)
    """Date: the spans that begin on it instead, or closed. Goes before holidays."""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        week, dates, _ = self.week, self.dates, self.closed
        if not any(week) and not any(dates.values()):
            raise ValueError("it never opens: give hours, such as hours: {mon-fri: 09:00-18:00}")
        return self

    @cached_property
    def week(self) -> tuple[tuple[Span, ...], ...]:
        """The spans that begin on each day of the week, Monday first. Raises ValueError."""
        found: dict[int, tuple[Span, ...]] = {}
        for days, spans in self.hours.items():
            for day in _week_days(days):
                if day in found:
                    raise ValueError(f"hours.{days}: {DAYS[day]} is there twice; give a day all its spans in one list")
                found[day] = _spans(f"hours.{days}", spans)
        return tuple(found.get(day, ()) for day in range(len(DAYS)))

    @cached_property
    def dates(self) -> Mapping[date, tuple[Span, ...]]:
        """The spans that begin on the dates of `other_hours`. Raises ValueError."""
        return {
            _date("other_hours", day): _spans(f"other_hours.{day}", spans) for day, spans in self.other_hours.items()
        }

    @cached_property
    def closed(self) -> tuple[tuple[date, date], ...]:
        """The first and last day of each of `holidays`. Raises ValueError."""
        ranges = []
        for text in self.holidays:
            first, dots, last = text.partition("..")
            begin, end = _date("holidays", first), _date("holidays", last if dots else first)
            if end < begin:
                raise ValueError(f"holidays: {text} ends before it begins")
            ranges.append((begin, end))
        return tuple(ranges)

    def within(self, zone: tzinfo) -> "WorkingHours":
        """The schedule on the clocks of its own zone, or of `zone` where it names none."""
        return WorkingHours(self, ZoneInfo(self.timezone) if self.timezone else zone)


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """A schedule on the clocks of a zone."""

    schedule: ScheduleSettings
    zone: tzinfo

    def is_open(self, at: UtcMicros) -> bool:
        """Whether somebody is at work at that moment."""
        return any(start <= at < end for start, end in self._spans_around(at, days=1))

    def next_opening(self, at: UtcMicros) -> UtcMicros | None:
        """When work begins next: `at` itself while it goes on. None: not within HORIZON_DAYS."""
        return self.add_working_minutes(at, 0)

    def add_working_minutes(self, at: UtcMicros, minutes: float) -> UtcMicros | None:
        """The moment at which so many minutes of work (0 or more) will have passed since `at`.

        Minutes that end with a span end there, not at the next opening. None: not within HORIZON_DAYS.
        """
        left, reached = timedelta(minutes=minutes) // _MOMENT, at
        for start, end in self._spans_around(at, days=HORIZON_DAYS):
            begin = max(start, reached)
            if end <= begin:
                continue  # before, or within one that was counted
            if left <= end - begin:
                return begin + left
            left, reached = left - (end - begin), end
        return None

    def _spans_around(self, at: UtcMicros, *, days: int) -> Iterator[tuple[UtcMicros, UtcMicros]]:
        """The spans that begin on the local day before `at`, on that day, and on those after it: by their beginning."""
        today = (_EPOCH + timedelta(microseconds=at)).astimezone(self.zone).date()
        for number in range(-1, days):
            day = today + timedelta(days=number)
            midnight = datetime.combine(day, time(), self.zone)
            yield from sorted(
                (_utc(midnight + timedelta(minutes=start)), _utc(midnight + timedelta(minutes=end)))
                for start, end in self._of_day(day)
            )

    def _of_day(self, day: date) -> tuple[Span, ...]:
        if (spans := self.schedule.dates.get(day)) is not None:
            return spans
        if any(first <= day <= last for first, last in self.schedule.closed):
            return ()
        return self.schedule.week[day.weekday()]


def _utc(local: datetime) -> UtcMicros:
    return (local - _EPOCH) // _MOMENT


def _week_days(text: str) -> Iterator[int]:
    for part in text.lower().split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"hours: {text!r} names no days; allowed: {', '.join(DAYS)}, or two such as mon-fri")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        yield from (day % len(DAYS) for day in range(begin, end + 1 + (len(DAYS) if end < begin else 0)))


def _spans(where: str, texts: Iterable[str]) -> tuple[Span, ...]:
    parts = [part for text in texts for part in text.split(",")]
    return () if [part.strip() for part in parts] == [CLOSED] else tuple(sorted(_span(where, part) for part in parts))


def _span(where: str, text: str) -> Span:
    found = _SPAN.fullmatch(text)
    start, end = ((int(found[at]) * 60 + int(found[at + 1]) if found else -1) for at in (1, 3))
    minutes = found is not None and int(found[2]) < 60 and int(found[4]) < 60
    if not minutes or not 0 <= start < _DAY_MINUTES or not 0 <= end <= _DAY_MINUTES:
        raise ValueError(
            f"{where}: {text.strip()!r} is no span of time; allowed: 09:00-18:00, 22:00-06:00 (until the day after), "
            f"00:00-24:00, several with commas or as a list, or {CLOSED}"
        )
    if start == end:
        raise ValueError(f"{where}: {text.strip()!r} has no length; the whole day is 00:00-24:00")
    return start, end if end > start else end + _DAY_MINUTES


def _date(where: str, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        words = f"{text.strip()!r} is no date such as 2027-01-01"
        raise ValueError(f"{where}: {words}" + (" or 2027-01-01..2027-01-08" if where == "holidays" else "")) from None
