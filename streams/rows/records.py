"""Rows that stand in a file otherwise than line by line: JSON arrays, and one column a line (`mysql -E`, `psql -x`)."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from streams.errors import UserError

NumberedRow = tuple[int, dict[str, Any]]
"""The number of the row's first line, or of the row itself in JSON; and its columns."""

_MOST_TEXT = 64 * 1024 * 1024
"""Characters of one JSON value; more is no row, and is not kept in memory."""
_BETWEEN = re.compile(r"[\s,\[\]]*")
_HEADING = re.compile(r"\*{3,} *\d+\. row \*{3,}\s*|-\[ \D+ \d+ \][-+]*\s*")
_COLUMN = re.compile(r" *(\w+) *(?:: ?|\| ?)(.*)", re.DOTALL)


class Readable(Protocol):
    """What is needed of a text file."""

    def read(self, size: int) -> str:
        """About so many characters; empty at the end."""


def begins_records(line: str) -> bool:
    """Whether a file that begins so holds a column a line."""
    return _HEADING.fullmatch(line) is not None


def json_values(text: Readable) -> Iterator[tuple[int, Any]]:
    """The values in JSON arrays, or one after the other over several lines, with their numbers, in little memory.

    Raises UserError where what stands there is not JSON.
    """
    decode = json.JSONDecoder(strict=False).raw_decode
    buffer, place, number, over, size = "", 0, 0, False, 1 << 16
    while True:
        gap = _BETWEEN.match(buffer, place)
        place = gap.end() if gap else place
        try:
            if place == len(buffer) and over:
                return
            value, end = decode(buffer, place)
            if end == len(buffer) and not over:
                raise json.JSONDecodeError("may go on", buffer, end)  # half a number, for one
        except RecursionError:
            raise UserError(f"JSON value {number + 1} is nested deeper than any row") from None
        except json.JSONDecodeError as error:
            more = "" if over or len(buffer) - place > _MOST_TEXT else text.read(size)
            if not more and over:
                raise UserError(f"JSON value {number + 1} cannot be read: {error.msg}") from None
            over = over or not more
            buffer, place = buffer[place:] + more, 0
            size = max(1 << 16, len(buffer))
            continue
        place = end
        for each in _rows_within(value):
            number += 1
            yield number, each


def _rows_within(value: Any) -> Iterator[Any]:
    """The value, or the rows in it: phpMyAdmin and DBeaver put them into an object."""
    if isinstance(value, dict):
        if value.get("type") in ("header", "database") and "linkedid" not in value:
            return
        held = [each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
        if len(held) == 1 and "linkedid" not in {str(name).lower() for name in value}:
            yield from held[0]
            return
    yield value


def column_lines(lines: Iterable[str]) -> Iterator[NumberedRow]:
    """Rows of a column a line below a heading; a value's further lines have no name at the same place."""
    row: dict[str, Any] = {}
    begun, border, last = 0, -1, ""
    for number, line in enumerate(lines, start=1):
        if _HEADING.fullmatch(line):
            if row:
                yield begun, row
            row, begun, last = {}, number, ""
            continue
        found = _COLUMN.match(line.rstrip("\r\n"))
        place = found.start(2) if found else -1
        if found and (border < 0 or place == border or (place == border - 1 and not found[2])):
            border = border if border >= 0 else place
            last = found[1]
            row[last] = "" if found[2] == "NULL" else found[2].rstrip("\r\n")
        elif last and not re.fullmatch(r"\(\d+ \w+\)|\d+ rows? in set.*|", line.strip()):
            row[last] += "\n" + line.rstrip("\r\n")
    if row:
        yield begun, row
