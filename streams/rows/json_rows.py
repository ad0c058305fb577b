"""CEL rows in JSON: an object a line, recorded cases, arrays; and tables of a column a line."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import msgspec
import orjson

from streams.errors import UnreadableRow
from streams.rows.columns import header_of, without_extra
from streams.rows.reading import RowReading, in_share
from streams.rows.records import begins_records, column_lines, json_values
from streams.rows.row import TEXT_LIMIT, CapturedRow


class _Key(msgspec.Struct, gc=False):
    linkedid: str


_linkedid_of = msgspec.json.Decoder(_Key).decode


def spans_lines(first: bytes) -> bool:
    """Whether a file that begins so has rows of several lines: a JSON array, a column a line."""
    return first[:1] == b"[" or first.strip() == b"{" or begins_records(first.decode(errors="replace"))


@dataclass(slots=True)
class JsonReading(RowReading):
    """Reads JSON."""

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
            columns: Any = orjson.loads(first)
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
            named: dict[str, Any] = found
            return self._decode_named({header.renamed.get(name, name): value for name, value in named.items()})

        return renamed

    def _of_another_share(self, line: bytes) -> bool:
        """Whether the line surely is none of ours. What cannot be told of the line is told of its row."""
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
