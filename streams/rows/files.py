"""CEL rows from files: CSV as databases and spreadsheets export it, JSON Lines, and recorded cases."""

import csv
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import orjson

from streams.errors import UnreadableRow, UserError
from streams.rows.row import TEXT_LIMIT, CapturedRow, RowDecoder

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\", "r": "\r"}
_ROW_COUNT = re.compile(r"\(\d+ \w+\)")
"""`(8 rows)`, below what psql prints."""

_NEWEST_FIRST = 1 << 40
"""Ids count down from here where a table without ids runs backwards, as web pages show them."""

csv.field_size_limit(16 * 1024 * 1024)


class _Key(msgspec.Struct, gc=False):
    linkedid: str


_linkedid_of = msgspec.json.Decoder(_Key).decode


def in_share(linkedid: str, share: tuple[int, int] | None) -> bool:
    """Whether a call belongs to a share; all belong to None."""
    return share is None or zlib.crc32(linkedid.encode()) % share[1] == share[0]


@dataclass(slots=True)
class RowSource:
    """Reads the rows of one file after the other; rows that cannot be read are reported and passed over."""

    decoder: RowDecoder
    on_unreadable: Callable[[str, int, str], None]
    """Called with file, line and reason."""
    on_progress: Callable[[int], None] = field(default=lambda _read: None)
    """Called now and then with the bytes read since the last time."""
    share: tuple[int, int] | None = None
    """(k, n): only the k-th of n shares of the calls, as far as that is seen before a row is decoded."""
    place: int = 0
    """Lines read so far."""
    undivided: bool = False
    """Every share reads the line at hand."""
    _next_id: int = 0
    _step: int = 1
    _long_line: bool = False
    """Some cell of the line just read may be longer than is kept of one."""

    def rows(self, path: Path | None, stream: BinaryIO | None = None) -> Iterator[CapturedRow]:
        """Rows of a file (`path` None: of `stream`), in the order of the file.

        Raises UserError where the file cannot be opened or has no usable header.
        """
        name = str(path) if path else "standard input"
        try:
            opened = path.open("rb") if path else stream
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror}") from None
        if opened is None:
            raise UserError("nothing to read")
        with opened as file:
            first = file.readline()
            while first and not first.strip(b"+-| \r\n"):
                first = file.readline()  # the frame over the header that mysql draws on a terminal
            if first.lstrip()[:1] in (b"{", b"["):
                yield from self._json_lines(name, first, file)
            elif first.strip():
                with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
                    yield from self._csv(name, first, text)

    def _json_lines(self, name: str, first: bytes, file: BinaryIO) -> Iterator[CapturedRow]:
        decode, unread = self.decoder.decode, 0
        for number, line in enumerate(chain((first,), file), start=1):
            self.place += 1
            unread += len(line)
            if unread > 1 << 20:
                self.on_progress(unread)
                unread = 0
            if self.share is not None and self._of_another_share(line):
                continue
            try:
                yield decode(line)
            except UnreadableRow as error:
                yield from self._unusual(name, number, line, error)
        self.on_progress(unread)

    def _of_another_share(self, line: bytes) -> bool:
        """Whether the line surely belongs to another share. Where the line does not say, its decoded row does."""
        try:
            linkedid = _linkedid_of(line).linkedid
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.undivided = True
            return False
        self.undivided = False
        return not in_share(linkedid, self.share)

    def _unusual(self, name: str, number: int, line: bytes, error: UnreadableRow) -> Iterator[CapturedRow]:
        if (case := _case_rows(line)) is not None:
            yield from self._case(name, number, case)
        elif line.strip():
            yield from self._without_id(name, number, line, error)

    def _case(self, name: str, number: int, rows: list[dict[str, Any]]) -> Iterator[CapturedRow]:
        for columns in rows:
            try:
                yield self._with_id(columns)
            except UnreadableRow as error:
                self.on_unreadable(name, number, str(error))

    def _without_id(self, name: str, number: int, line: bytes, error: UnreadableRow) -> Iterator[CapturedRow]:
        """A row whose only fault is that it has no id gets the next one."""
        try:
            columns = orjson.loads(line)
            if not isinstance(columns, dict) or columns.get("id") is not None:
                raise error
            yield self._with_id(columns)
        except (UnreadableRow, orjson.JSONDecodeError):
            self.on_unreadable(name, number, str(error))

    def _csv(self, name: str, first: bytes, text: io.TextIOWrapper) -> Iterator[CapturedRow]:
        header_line = first.decode("utf-8-sig", errors="replace")
        delimiter = max("\t,;|", key=header_line.count)
        # mysql --batch: tabs, backslash escapes, NULL as a word, no quotes. A spreadsheet's tabs have CR and quotes.
        batch = delimiter == "\t" and '"' not in header_line and not header_line.endswith("\r\n")
        drawn = delimiter == "|" and " | " in header_line
        if drawn:
            header_line = header_line.strip().strip("|")
        header = [column.strip() for column in next(csv.reader([header_line], delimiter=delimiter))]
        if "linkedid" not in header and self.decoder.column("linkedid") not in header:
            raise UserError(
                f"{name}: its first line names no column linkedid",
                f"Give a CSV file with a header, or JSON Lines. Found: {', '.join(header)[:200]}",
            )
        width = len(header)
        decode = self._decode_cells(header)
        lines = self._drawn(text) if drawn else self._parsed(name, text, delimiter, batch=batch)
        named = all(self.decoder.column(column) in header for column in ("id", "linkedid"))
        key = header.index(self.decoder.column("linkedid")) if named else None
        for line, values in lines:
            self.place += 1
            self.undivided = key is None or len(values) != width
            if key is not None and not self.undivided and not in_share(values[key], self.share):
                continue
            if len(values) != width:
                self.on_unreadable(name, line, f"{len(values)} columns where the header has {width}")
                continue
            try:
                yield decode(_plain(values) if batch else values)
            except UnreadableRow as error:
                self.on_unreadable(name, line, str(error))
            self._long_line = False

    def _drawn(self, text: io.TextIOWrapper) -> Iterator[tuple[int, list[str]]]:
        """The lines of a table as psql and mysql draw it on a terminal: cells between bars, padded with blanks."""
        for number, line in enumerate(self._counted(text), start=2):
            if line.strip("+-| \r\n") and not _ROW_COUNT.fullmatch(line.strip()):
                cells = line.strip()[1:-1] if line.startswith("|") else line
                yield number, [cell.strip() for cell in cells.split("|")]

    def _parsed(
        self, name: str, text: io.TextIOWrapper, delimiter: str, *, batch: bool
    ) -> Iterator[tuple[int, list[str]]]:
        """The lines that are not empty, with their number in the file, where the header is the first.

        A line without a quote is split as it is, in a third of the reader's time; mysql --batch knows no quotes.
        """
        lines, number = self._counted(text), 1
        quoted: list[str] = []

        def from_quoted() -> Iterator[str]:
            while quoted or (more := next(lines, None)) is not None:
                yield quoted.pop() if quoted else str(more)

        reader = csv.reader(from_quoted(), delimiter=delimiter)
        for line in lines:
            number += 1
            if batch or '"' not in line:
                if values := line.rstrip("\r\n"):
                    yield number, values.split(delimiter)
                continue
            quoted.append(line)
            before = reader.line_num
            try:
                yield number, next(reader)
            except csv.Error as error:  # the reader goes on with the line after
                self.on_unreadable(name, number, f"{error}: a quote without its partner?")
            number += reader.line_num - before - 1

    def _decode_cells(self, header: list[str]) -> Callable[[list[str]], CapturedRow]:
        if self.decoder.column("id") not in header:
            return lambda cells: self._with_id(dict(zip(header, cells, strict=True)))
        short, any_length = self.decoder.from_short_cells(header), self.decoder.from_columns
        return lambda cells: any_length(dict(zip(header, cells, strict=True))) if self._long_line else short(cells)

    def _counted(self, text: io.TextIOWrapper) -> Iterator[str]:
        unread = 0
        for line in text:
            length = len(line)
            if length > TEXT_LIMIT:
                self._long_line = True
            unread += length
            if unread > 1 << 20:
                self.on_progress(unread)
                unread = 0
            yield line.replace("\0", "") if "\0" in line else line
        self.on_progress(unread)

    def _with_id(self, columns: dict[str, Any]) -> CapturedRow:
        if not self._next_id and columns.get(self.decoder.column("eventtype")) == "LINKEDID_END":
            self._next_id, self._step = _NEWEST_FIRST, -1  # no call begins with its end
        self._next_id += self._step
        return self.decoder.from_columns(columns, row_id=self._next_id)


def _case_rows(line: bytes) -> list[dict[str, Any]] | None:
    if b'"cel"' not in line:
        return None
    try:
        case = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    rows = case.get("cel") if isinstance(case, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _plain(values: list[str]) -> list[str]:
    return [_unescape(value) if "\\" in value or value == "NULL" else value for value in values]


def _unescape(value: str) -> str:
    if value == "NULL":
        return ""
    if "\\" not in value:
        return value
    out, escaped = [], False
    for letter in value:
        if escaped:
            out.append(_ESCAPES.get(letter, letter))
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            out.append(letter)
    return "".join(out)
