"""CEL rows from files: CSV as databases and spreadsheets export it, JSON, and recorded cases."""

import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from csv import Error as CsvError
from csv import reader as csv_reader
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import orjson

from streams.errors import UnreadableRow, UserError
from streams.rows.columns import (
    READS_CEL,
    check_header,
    columns_for,
    header_of,
    looks_like_header,
    without_extra,
)
from streams.rows.opening import is_plain, opened, refuse_others
from streams.rows.records import begins_records, column_lines, json_values
from streams.rows.row import TEXT_LIMIT, CapturedRow, RowDecoder
from streams.rows.tables import Delimited, batch_cells, drawn_cells
from streams.rows.unreadable import UnreadableLine, ids_in

_NEWEST_FIRST = 1 << 40
"""Ids count down from here where a table without ids runs backwards, as web pages show them."""

_HEAD = 8192
_CLIENT_REMARKS = (b"mysql: [Warning]", b"mariadb: ", b"Warning: ")
"""Lines that a client puts before a table where its errors go into the same file."""


class _Key(msgspec.Struct, gc=False):
    linkedid: str


_linkedid_of = msgspec.json.Decoder(_Key).decode


def mine(linkedid: str, share: tuple[int, int] | None) -> bool:
    """Whether a call belongs to a share; all belong to None."""
    return share is None or zlib.crc32(linkedid.encode()) % share[1] == share[0]


def can_be_shared(path: Path) -> bool:
    """Whether several processes can each read the file's lines and take their calls: it is plain, a row a line."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False  # reading it says why
    first = head.lstrip(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    return is_plain(head) and not _spans_lines(first)


def _spans_lines(first: bytes) -> bool:
    return first[:1] == b"[" or first.strip() == b"{" or begins_records(first.decode(errors="replace"))


@dataclass(slots=True)
class RowSource:
    """Reads the rows of one file after the other; rows that cannot be read are reported and passed over."""

    decoder: RowDecoder
    on_unreadable: Callable[[UnreadableLine], None]
    on_progress: Callable[[int], None] = field(default=lambda _read: None)
    """Called now and then with the bytes read since the last time."""
    share: tuple[int, int] | None = None
    """(k, n): only the k-th of n shares of the calls, as far as that can be told before a row is decoded."""
    columns: tuple[str, ...] | None = None
    """The columns of tables that have no header."""
    on_remark: Callable[[str], None] = field(default=lambda _words: None)
    """Called with words about a file as a whole: columns that are missing, or were taken for others."""
    place: int = 0
    """Lines read so far."""
    undivided: bool = False
    """Every share reads the line at hand."""
    rows_in: Counter[str] = field(default_factory=Counter)
    """Rows that each file holds, readable or not, those of other shares too."""
    _unreadable_in: Counter[str] = field(default_factory=Counter)
    _first_lost: UnreadableLine | None = None
    """Of the file at hand."""
    _next_id: int = 0
    _step: int = 1
    _long_line: bool = False
    """Some cell of the line just read may be longer than is kept of one."""

    def rows(self, path: Path | None, stream: BinaryIO | None = None) -> Iterator[CapturedRow]:
        """Rows of a file (`path` None: of `stream`), in the order of the file.

        Raises UserError where the file cannot be opened or read, is of another kind, or where no row of it could be
        read (but for a share: it does not know of the others).
        """
        name = str(path) if path else "standard input"
        try:
            with path.open("rb") if path else stream or io.BytesIO() as source:
                before = self.place
                yield from self._rows(name, opened(source))
                self.rows_in[name] += self.place - before
        except (OSError, EOFError, zlib.error) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else f"it is damaged ({error})"
            raise UserError(f"cannot read {name}: {why}") from None
        lost = self._unreadable_in[name]
        if self.share is None and self._first_lost is not None and lost and lost >= self.rows_in[name]:
            raise none_read(name, lost, self._first_lost)

    def _rows(self, name: str, file: io.BufferedReader) -> Iterator[CapturedRow]:
        first = file.readline()
        while first and (not first.strip(b"+-| \r\n") or first.startswith(_CLIENT_REMARKS)):
            first = file.readline()  # the frame over the header that mysql draws on a terminal
        if not first.strip():
            self.on_remark(f"{name} holds no rows")
            return
        if _spans_lines(first.lstrip()):
            yield from self._records(name, first, file)
        elif first.lstrip()[:1] == b"{":
            yield from self._json_lines(name, first, file)
        else:
            refuse_others(name, first)
            with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
                yield from self._table(name, first.decode("utf-8", errors="replace"), text)

    def _json_lines(self, name: str, first: bytes, file: BinaryIO) -> Iterator[CapturedRow]:
        decode, unread = self._line_decoder(name, first), 0
        extra = b'"extra"' in first or b'"cel"' in first or self.decoder.column("extra") != "extra"
        renamed = decode != self.decoder.decode
        for number, line in enumerate(chain((first,), file), start=1):
            self.place += 1
            unread += len(line)
            if unread > 1 << 20:
                self.on_progress(unread)
                unread = 0
            if not extra:
                extra = renamed or b'"extra"' in line
            if self.share is not None and self._of_another_share(line):
                continue
            try:
                yield decode(line)
            except UnreadableRow as error:
                yield from self._unusual(name, number, line, error)
        self.on_progress(unread)
        if not extra:
            self.on_remark(without_extra(name))

    def _line_decoder(self, name: str, first: bytes) -> Callable[[bytes], CapturedRow]:
        """How the lines are decoded, by the names in the first: the fast way where the columns have their own."""
        try:
            columns = orjson.loads(first)
        except orjson.JSONDecodeError:
            return self.decoder.decode
        if not isinstance(columns, dict) or "cel" in columns:
            return self.decoder.decode
        header = header_of(list(columns), self.decoder.column)
        if not header.renamed:
            return self.decoder.decode
        for remark in header.remarks(name):
            self.on_remark(remark)

        def renamed(line: bytes) -> CapturedRow:
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                return self.decoder.decode(line)  # says what is wrong
            if not isinstance(found, dict):
                return self.decoder.decode(line)
            return self._decode_named({header.renamed.get(each, each): value for each, value in found.items()})

        return renamed

    def _of_another_share(self, line: bytes) -> bool:
        """Whether the line surely is none of ours. What cannot be told of the line is told of its row."""
        try:
            linkedid = _linkedid_of(line).linkedid
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.undivided = True
            return False
        self.undivided = False
        return not mine(linkedid, self.share)

    def _unusual(self, name: str, number: int, line: bytes, error: UnreadableRow) -> Iterator[CapturedRow]:
        if (case := _case_rows(line)) is not None:
            yield from self._case(name, number, case)
        elif line.strip():
            yield from self._without_id(name, number, line, error)
        else:
            self.rows_in[name] -= 1

    def _case(self, name: str, number: int, rows: list[dict[str, Any]]) -> Iterator[CapturedRow]:
        self.rows_in[name] += len(rows) - 1
        for columns in rows:
            try:
                yield self._with_id(columns)
            except UnreadableRow as error:
                self._refuse(name, number, str(error), columns)

    def _without_id(self, name: str, number: int, line: bytes, error: UnreadableRow) -> Iterator[CapturedRow]:
        """A row whose only fault is that it has no id gets the next one."""
        columns: Any = None
        try:
            columns = orjson.loads(line)
            if not isinstance(columns, dict) or columns.get("id") is not None:
                raise error
            yield self._with_id(columns)
        except (UnreadableRow, orjson.JSONDecodeError):
            text = line.decode("utf-8", errors="replace")
            self._refuse(name, number, str(error), columns if isinstance(columns, dict) else text)

    def _records(self, name: str, first: bytes, file: io.BufferedReader) -> Iterator[CapturedRow]:
        """Rows of a JSON array, or of a column a line."""
        with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
            head = first.decode("utf-8", errors="replace")
            counted = self._counted(chain((head,), text))
            found = column_lines(counted) if begins_records(head) else json_values(_Lines(counted))
            header = None
            for number, columns in found:
                self.place += 1
                if not isinstance(columns, dict):
                    reason = f"not a JSON object but {type(columns).__name__}"
                    self._refuse(name, number, reason, str(columns)[:TEXT_LIMIT])
                    continue
                if (rows := _cel_of(columns)) is not None:
                    yield from self._case(name, number, rows)
                    continue
                if header is None:
                    header = header_of(list(columns), self.decoder.column)
                    for remark in header.remarks(name):
                        self.on_remark(remark)
                named = {header.renamed.get(each, each): value for each, value in columns.items()}
                try:
                    yield self._decode_named(named)
                except UnreadableRow as error:
                    self._refuse(name, number, str(error), named)

    def _decode_named(self, columns: dict[str, Any]) -> CapturedRow:
        if columns.get(self.decoder.column("id")) is None:
            return self._with_id(columns)
        return self.decoder.from_columns(columns)

    def _table(self, name: str, first: str, text: io.TextIOWrapper) -> Iterator[CapturedRow]:
        delimiter = max("\t,;|", key=first.count)
        # mysql --batch: tabs, backslash escapes, NULL as a word, no quotes. A spreadsheet's tabs have CR and quotes.
        batch = delimiter == "\t" and '"' not in first and not first.endswith("\r\n")
        drawn = delimiter == "|" and " | " in first and self.columns is None
        found = _cells_of(name, first.strip().strip("|") if drawn else first, delimiter)
        begin, lines = 2, self._counted(text)
        if self.columns is not None:
            found, begin, lines = columns_for(self.columns, len(found)), 1, chain((first,), lines)
        header = header_of(found, self.decoder.column)
        check_header(name, header, found, self.decoder.column)
        for remark in header.remarks(name):
            self.on_remark(remark)
        if drawn:
            cells = drawn_cells(lines, begin)
        elif batch:
            cells = batch_cells(lines, begin)
        else:
            refuse = lambda number, line, reason: self._refuse_line(name, number, line, reason)  # noqa: E731
            cells = Delimited(delimiter, len(found), refuse).cells(lines, begin)
        yield from self._decoded(name, header.names, cells)

    def _decoded(self, name: str, header: list[str], lines: Iterable[tuple[int, list[str]]]) -> Iterator[CapturedRow]:
        width = len(header)
        decode = self._decode_cells(header)
        linkedid = header.index(self.decoder.column("linkedid"))
        key = linkedid if self.decoder.column("id") in header else None
        for line, values in lines:
            self.place += 1
            self.undivided = key is None or len(values) != width
            if key is not None and not self.undivided and not mine(values[key], self.share):
                continue
            if len(values) != width:
                reason = f"{len(values)} columns where the header has {width}"
                self._refuse(name, line, reason, " ".join(values))
                continue
            known = values[linkedid]
            try:
                yield decode(values)
            except UnreadableRow as error:
                self._refuse(name, line, str(error), {self.decoder.column("linkedid"): known})
            self._long_line = False

    def _decode_cells(self, header: list[str]) -> Callable[[list[str]], CapturedRow]:
        if self.decoder.column("id") not in header:
            return lambda cells: self._with_id(dict(zip(header, cells, strict=True)))
        short, any_length = self.decoder.from_short_cells(header), self.decoder.from_columns
        return lambda cells: any_length(dict(zip(header, cells, strict=True))) if self._long_line else short(cells)

    def _counted(self, text: Iterable[str]) -> Iterator[str]:
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

    def _refuse_line(self, name: str, number: int, line: str, reason: str) -> None:
        """A line of which no cells could be made."""
        self.place += 1
        self.undivided = True
        self._refuse(name, number, reason, line)

    def _refuse(self, name: str, number: int, reason: str, found: dict[str, Any] | str) -> None:
        """Report a row. `found`: its columns, else its text."""
        if isinstance(found, dict):
            linkedid = found.get(self.decoder.column("linkedid"))
            linkedids: tuple[str, ...] = (linkedid,) if isinstance(linkedid, str) and linkedid else ()
            looks = looks_like_header(list(found))
        else:
            linkedids, looks = ids_in(found), None
        line = UnreadableLine(name, number, f"it {looks}; {reason}" if looks else reason, linkedids)
        if not self._unreadable_in[name]:
            self._first_lost = line
        self._unreadable_in[name] += 1
        self.on_unreadable(line)


def none_read(name: str, rows: int, first: UnreadableLine) -> UserError:
    """The error for a file of which no row could be read."""
    return UserError(f"{name}: none of its {rows} rows could be read; line {first.line}: {first.reason}", READS_CEL)


class _Lines:
    """What `read` needs of a text file, of lines."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def read(self, size: int) -> str:
        """Whole lines of about so many characters; empty at the end."""
        taken, length = [], 0
        for line in self._lines:
            taken.append(line)
            length += len(line)
            if length >= size:
                break
        return "".join(taken)


def _cells_of(name: str, line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv_reader([line.strip("\r\n")], delimiter=delimiter), [])]
    except CsvError as error:
        raise UserError(f"{name}: its first line cannot be read as CSV: {error}", READS_CEL) from None


def _case_rows(line: bytes) -> list[dict[str, Any]] | None:
    if b'"cel"' not in line:
        return None
    try:
        case = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return _cel_of(case) if isinstance(case, dict) else None


def _cel_of(case: dict[str, Any]) -> list[dict[str, Any]] | None:
    rows = case.get("cel")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None
