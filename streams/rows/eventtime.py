"""`eventtime`: the PBX's wall clock without a zone, in the many spellings of CEL back ends and exports."""

from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock of the PBX, no zone on purpose
_EARLIEST, _LATEST = 0, 4102444800 * 1_000_000  # 1970 to 2100, microseconds

_MILLIS = 10**11
_MICROS = 10**14


def wall_micros(text: str) -> int | None:
    """Microseconds from 1970 of a wall clock time; None where the text is not a time between 1970 and 2100.

    Reads `2026-11-22 23:23:00.65`, ISO 8601 (a Z is not believed: Debezium puts it on local times), and Unix seconds,
    milliseconds or microseconds.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            # +03 and the like do tell the truth (psql prints them for timestamptz): the instant, in UTC.
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return _unix_micros(text)
    except OverflowError:  # the first or last hours that datetime knows
        return None
    span = moment - _EPOCH
    micros = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    return micros if _EARLIEST <= micros <= _LATEST else None


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
