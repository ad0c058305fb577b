"""CEL rows from files: CSV as databases and spreadsheets export it, JSON, and recorded cases."""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from csv import Error as CsvError
from csv import reader as csv_reader
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from streams.errors import UnreadableRow, UserError
from streams.rows.columns import (
    READS_CEL,
    check_header,
    columns_for,
    header_of,
)
from streams.rows.json_rows import JsonReading, spans_lines
from streams.rows.opening import is_plain, opened, refuse_others
from streams.rows.reading import in_share
from streams.rows.row import CapturedRow
from streams.rows.tables import Delimited, batch_cells, drawn_cells
from streams.rows.unreadable import UnreadableLine

_HEAD = 8192
_BUFFER = 1 << 17
"""Bytes read at a time."""
_CLIENT_REMARKS = (b"mysql: [Warning]", b"mariadb: ", b"Warning: ")
"""Lines that a client puts before a table where its errors go into the same file."""


def can_be_shared(path: Path) -> bool:
    """Whether several processes can each read the file's lines and take their calls: it is plain, a row a line."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False  # reading it says why
    first = head.lstrip(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    return is_plain(head) and not spans_lines(first)


@dataclass(slots=True)
class RowSource(JsonReading):
    """Reads the rows of one file after the other; rows that cannot be read are reported and passed over."""

    def rows(self, path: Path | None, stream: BinaryIO | None = None) -> Iterator[CapturedRow]:
        """Rows of a file (`path` None: of `stream`), in the order of the file.

        Raises UserError where the file cannot be opened or read, is of another kind, or where no row of it could be
        read (but for a share: it does not know of the others).
        """
        name = str(path) if path else "standard input"
        try:
            with path.open("rb", _BUFFER) if path else stream or io.BytesIO() as source:
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
        if spans_lines(first.lstrip()):
            yield from self._records(name, first, file)
        elif first.lstrip()[:1] == b"{":
            yield from self._json_lines(name, first, file)
        else:
            refuse_others(name, first)
            with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
                yield from self._table(name, first.decode("utf-8", errors="replace"), text)

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
        width, share = len(header), self.share
        short, any_length = self._decode_cells(header)
        linkedid = header.index(self.decoder.column("linkedid"))
        key = linkedid if self.decoder.column("id") in header else None
        for line, values in lines:
            self.place += 1
            self.undivided = key is None or len(values) != width
            if share is not None and key is not None and not self.undivided and not in_share(values[key], share):
                continue
            if len(values) != width:
                reason = f"{len(values)} columns where the header has {width}"
                self._refuse(name, line, reason, " ".join(values))
                continue
            known = values[linkedid]
            try:
                yield (any_length if self._long_line else short)(values)
            except UnreadableRow as error:
                self._refuse(name, line, str(error), {self.decoder.column("linkedid"): known})
            self._long_line = False

    def _decode_cells(self, header: list[str]) -> tuple[Callable[[list[str]], CapturedRow], ...]:
        """What makes a row of the cells of a short line, and of any line."""
        has_id = self.decoder.column("id") in header
        from_columns = self.decoder.from_columns if has_id else self._with_id

        def any_length(cells: list[str]) -> CapturedRow:
            return from_columns(dict(zip(header, cells, strict=True)))

        return self.decoder.from_short_cells(header) if has_id else any_length, any_length


def _cells_of(name: str, line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv_reader([line.strip("\r\n")], delimiter=delimiter), [])]
    except CsvError as error:
        raise UserError(f"{name}: its first line cannot be read as CSV: {error}", READS_CEL) from None


def none_read(name: str, rows: int, first: UnreadableLine) -> UserError:
    """The error for a file of which no row could be read."""
    return UserError(f"{name}: none of its {rows} rows could be read; line {first.line}: {first.reason}", READS_CEL)
