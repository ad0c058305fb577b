"""What readers of every form share: where they are, how a row is decoded, and what becomes of one that cannot be."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.rows.columns import looks_like_header
from streams.rows.row import TEXT_LIMIT, CapturedRow, RowDecoder
from streams.rows.unreadable import UnreadableLine, ids_in

_NEWEST_FIRST = 1 << 40
"""Ids count down from here where a table without ids runs backwards, as web pages show them."""


def in_share(linkedid: str, share: tuple[int, int] | None) -> bool:
    """Whether a call belongs to a share; all belong to None."""
    return share is None or zlib.crc32(linkedid.encode()) % share[1] == share[0]


@dataclass(slots=True)
class RowReading:
    """The state of reading files, one after the other."""

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

    def _decode_named(self, columns: dict[str, Any]) -> CapturedRow:
        if columns.get(self.decoder.column("id")) is None:
            return self._with_id(columns)
        return self.decoder.from_columns(columns)

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
