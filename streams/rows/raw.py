"""JSON Lines read no further than it takes to sort them by call: who judges a call decodes its rows."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from streams.rows.files import RowSource
from streams.rows.row import CapturedRow

_DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError)


class RawRow(msgspec.Struct, gc=False):
    """What sorting and the end of calls need of a row, and the row as it stands in the file."""

    id: int
    eventtype: str
    eventtime: str
    linkedid: str
    uniqueid: str
    channame: str = ""
    pbx: str = msgspec.field(name="__source_name", default="")
    line: bytes = msgspec.field(name="__raw_line__", default=b"")
    place: int = msgspec.field(name="__raw_place__", default=0)
    """Number of the line."""


def is_json_lines(path: Path) -> bool:
    """Whether the file looks like JSON Lines of rows, not of recorded cases."""
    with path.open("rb") as file:
        first = file.readline(1 << 16)
    try:
        return bool(_decode(first).linkedid)
    except _DAMAGED:
        return False


def raw_rows(source: RowSource, path: Path) -> Iterator[RawRow]:
    """The rows of a file of JSON Lines. A line that is no plain row is decoded at once, by the source."""
    decode, unread = _decode, 0
    with path.open("rb") as file:
        for place, line in enumerate(file, start=1):
            unread += len(line)
            if unread > 1 << 20:
                source.on_progress(unread)
                unread = 0
            try:
                row = decode(line)
            except _DAMAGED:
                for decoded in source.line(str(path), place, line):
                    yield _encoded(decoded, place)
            else:
                row.line, row.place = line, place
                yield row
    source.on_progress(unread)


def _encoded(row: CapturedRow, place: int) -> RawRow:
    line = msgspec.json.encode(row)
    raw = _decode(line)
    raw.line, raw.place = line, place
    return raw


_decode = msgspec.json.Decoder(RawRow, strict=False).decode
