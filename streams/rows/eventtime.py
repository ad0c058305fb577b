"""`eventtime`: the PBX's wall clock without a zone, in the many spellings of CEL back ends and exports."""

import re
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock of the PBX, no zone on purpose
_EARLIEST, _LATEST = 0, 4102444800 * 1_000_000  # 1970 to 2100, microseconds

_MILLIS = 10**11
_MICROS = 10**14

_CLOCK = r"(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?)(?: ?(?:[A-Z]{2,5}|Z))?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATES = tuple(
    re.compile(form)
    for form in (
        rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}})[ T]+{_CLOCK}",
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?P<year>\d{{4}}|\d{{2}})[ T,]+{_CLOCK}",
        rf"(?P<first>\d{{1,2}})[-/](?P<second>\d{{1,2}})[-/](?P<year>\d{{4}})[ T,]+{_CLOCK}",
        rf"(?P<day>\d{{1,2}})[- /](?P<name>[A-Za-z]{{3}})[a-z]*[- /](?P<year>\d{{4}}|\d{{2}})[ T,:]+{_CLOCK}",
        rf"(?:[A-Za-z]{{3}},? )?(?P<name>[A-Za-z]{{3}})[a-z]* +(?P<day>\d{{1,2}}) {_CLOCK} (?P<year>\d{{4}})",
        rf"(?P<name>[A-Za-z]{{3}})[a-z]* +(?P<day>\d{{1,2}}),? (?P<year>\d{{4}}),? {_CLOCK}",
        r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})[ T]?(?P<packed>\d{6})",
        rf"{_CLOCK} (?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?P<year>\d{{4}})",
        rf"{_CLOCK} (?P<year>\d{{4}})[-/](?P<month>\d{{1,2}})[-/](?P<day>\d{{1,2}})",
    )
)
"""What `dateformat` of cel.conf, and spreadsheets, make of a time. With dots the day comes first everywhere; of slashes
and hyphens nobody can tell it from the month unless one of them is above 12."""


def wall_micros(text: str) -> int | None:
    """Microseconds from 1970 of a wall clock time; None where the text is not a time between 1970 and 2100.

    Reads `2026-11-22 23:23:00.65`, ISO 8601 (a Z is not believed: Debezium puts it on local times), and Unix seconds,
    milliseconds or microseconds. Other orders of day, month and year as far as only one can be meant:
    `22.11.2026 10:40:00`, `2026/11/12 10:40:00`, `11/22/2026 10:40:00 AM`; of 11/12/2026 none can be told.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            # +03 and the like do tell the truth (psql prints them for timestamptz): the instant, in UTC.
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        found = _unix_micros(text)
        if found is not None:
            return found
        try:
            moment = _written_otherwise(text.strip())
        except ValueError:
            return None
    except OverflowError:  # the first or last hours that datetime knows
        return None
    span = moment - _EPOCH
    micros = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    return micros if _EARLIEST <= micros <= _LATEST else None


def lacks_seconds(text: str) -> bool:
    """Whether a time is told to the minute or the day only, as spreadsheets save it: it measures no span."""
    colons = text.count(":")
    return (colons == 1 and "." not in text.rpartition(":")[2]) or (not colons and "-" in text and len(text) <= 10)


def _written_otherwise(text: str) -> datetime:
    """Raises ValueError where it is no time, or may be two."""
    found = next((match for each in _DATES if (match := each.fullmatch(text))), None) if len(text) < 64 else None
    if found is None:
        raise ValueError(text)
    parts = found.groupdict()
    if "first" in parts:
        first, second = int(parts["first"]), int(parts["second"])
        if first <= 12 and second <= 12 and first != second:
            raise ValueError(f"{text}: day and month cannot be told apart")
        day, month = (first, second) if first > 12 else (second, first)
    else:
        day = int(parts["day"])
        month = _MONTHS.index(parts["name"].lower()) + 1 if "name" in parts else int(parts["month"])
    year = int(parts["year"]) + (2000 if len(parts["year"]) == 2 else 0)
    if packed := parts.get("packed"):
        return datetime(year, month, day, int(packed[:2]), int(packed[2:4]), int(packed[4:]))  # noqa: DTZ001
    clock = parts["clock"].lower().replace(",", ".")
    digits = clock.rstrip("apm. ")
    hour, minute, *rest = digits.split(":")
    seconds, _, fraction = (rest[0] if rest else "0").partition(".")
    hours = int(hour)
    if clock != digits:
        if not 1 <= hours <= 12:
            raise ValueError(text)
        hours = hours % 12 + (12 if "p" in clock else 0)
    micros = int((fraction + "000000")[:6])
    return datetime(year, month, day, hours, int(minute), int(seconds), micros)  # noqa: DTZ001


def _unix_micros(text: str) -> int | None:
    whole, _, fraction = text.strip().partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 16 and (not fraction or fraction.isdigit())):
        return None
    number = int(whole)
    if number >= _MICROS:
        micros = number
    elif number >= _MILLIS:
        micros = number * 1000
    else:
        micros = number * 1_000_000 + int((fraction + "000000")[:6])
    return micros if _EARLIEST <= micros <= _LATEST else None
