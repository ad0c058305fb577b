"""Clocks, and times as people read them.

Times have their unit in their name (`_us`, `_ms`, `_s`, `_seconds`) or in one of the types below wherever they cross a
module. The fields of records keep the names of their Avro schema: those are UTC microseconds.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

UtcMicros: TypeAlias = int
"""Microseconds from 1970, UTC."""

UtcMillis: TypeAlias = int
"""Milliseconds from 1970, UTC: Kafka's unit, and that of stream time."""

BootSeconds: TypeAlias = float
"""Seconds of a clock that goes on while the machine is suspended (`boot_seconds`); of this machine only."""

MICROS_PER_SECOND = 1_000_000
MICROS_PER_DAY = 24 * 3600 * MICROS_PER_SECOND
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now_us() -> UtcMicros:
    """The time now."""
    return time.time_ns() // 1000


def utc_now_ms() -> UtcMillis:
    """The time now."""
    return time.time_ns() // 1_000_000


def boot_seconds() -> BootSeconds:
    """A clock that goes on while the machine is suspended: a request's time must not stand still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def format_iso(moment_us: UtcMicros) -> str:
    """A time in ISO 8601, to the second: `2026-11-28T07:42:31+00:00`."""
    return datetime.fromtimestamp(moment_us / MICROS_PER_SECOND, UTC).isoformat(timespec="seconds")


def format_time(moment_us: UtcMicros | None) -> str:
    """A time as a person reads it, to the second: `2026-11-28 07:42:31 UTC`; `-` where there is none."""
    if not moment_us:
        return "-"
    return datetime.fromtimestamp(moment_us / MICROS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def local_time(moment_us: UtcMicros, offset_seconds: int) -> str:
    """A time on a clock that is so much ahead of UTC, to the second: `2026-11-28 10:42:31`."""
    moment = _UNIX_EPOCH + timedelta(seconds=moment_us // MICROS_PER_SECOND + offset_seconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def format_span(micros: float) -> str:
    """A length of time in its two largest units: `2 h 5 min`, `40 s`."""
    seconds = max(0, round(micros / MICROS_PER_SECOND))
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit} {rest} {smaller}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def iso_utc(micros: UtcMicros) -> str:
    """UTC microseconds as ISO 8601 to the millisecond: `2026-11-22T20:23:00.650Z`, the form of every JSON output."""
    minutes, rest = divmod(micros // 1000, 60_000)
    return f"{_minute(minutes)}:{rest // 1000:02}.{rest % 1000:03}Z"


@lru_cache(maxsize=1024)
def _minute(minutes: int) -> str:
    return (_UNIX_EPOCH + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M")
