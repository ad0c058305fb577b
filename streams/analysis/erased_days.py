"""Files of an export without the numbers that were erased since: also days that no topic holds any more.

Every file is looked at once after each erasure: which erasures it was about stands in a file beside them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from streams.analysis.day_files import LEGS, RESULTS, DayFile, content_of, rows_of
from streams.analysis.new_file import told_where
from streams.calls.result import CallLeg, CallResult
from streams.calls.result_headers import ERASURE
from streams.clock import MICROS_PER_SECOND
from streams.privacy.erased import ErasedNumbers

_DONE = ".cel2crm-erased"


def blank_files(directory: Path, erased: ErasedNumbers) -> list[str]:
    """Blank what was erased in every file; the days whose files changed. Raises UserError: they cannot be written."""
    done = directory / _DONE
    if not len(erased) or _told(done) == erased.digest:
        return []
    days = [
        day
        for kind in (LEGS, RESULTS)
        for day in sorted(each.name.removeprefix("day=") for each in (directory / kind).glob("day=*"))
        if _blank(directory, kind, day, erased)
    ]
    with told_where(done):
        part = done.with_name(f"{_DONE}.partial")
        part.write_text(erased.digest, encoding="utf-8")
        part.replace(done)
    return sorted(set(days))


def _told(done: Path) -> str:
    try:
        return done.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _blank(directory: Path, kind: str, day: str, erased: ErasedNumbers) -> bool:
    """Whether the file held what was erased; it does not any more."""
    content = content_of(directory, kind, day)
    if content is None:
        return False
    rows = rows_of(directory, kind, day)
    blanked = list(_blanked_results(rows, erased) if kind == RESULTS else _blanked_legs(rows, erased))
    if blanked == rows:
        return False
    file = DayFile(directory, kind, day, content)
    try:
        file.begin()
        for row in blanked:
            file.add(row)
        file.close()
        file.publish()
    finally:
        file.discard()
    return True


def _blanked_results(rows: list[dict[str, Any]], erased: ErasedNumbers) -> Iterator[dict[str, Any]]:
    for row in rows:
        result = CallResult.from_record({name: row[name] for name in CallResult.__struct_fields__ if name in row})
        after = erased.obeyed_result(result)
        yield row if after is result else {**row, **after.record(), "origin": ERASURE}


def _blanked_legs(rows: list[dict[str, Any]], erased: ErasedNumbers) -> Iterator[dict[str, Any]]:
    for row in rows:
        leg = leg_of(row)
        after = erased.obeyed_leg(leg)
        yield row if after is leg else {**row, **after.record()}


def leg_of(row: Mapping[str, Any]) -> CallLeg:
    """The leg in a row, whose times may be datetime."""
    fields = {
        name: _micros(row[name]) if isinstance(row[name], datetime) else row[name]
        for name in CallLeg.__struct_fields__
        if name in row
    }
    return msgspec.convert(fields, CallLeg)


def _micros(moment: datetime) -> int:
    return int(moment.timestamp()) * MICROS_PER_SECOND + moment.microsecond
