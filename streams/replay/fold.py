"""The rows of one partition folded into whole calls, in two readings of the same offsets. Pure.

The first reading notes where each call's first and last row stand; in the second a call is complete at the last, with
every row that it has there, however late it came. So memory follows the calls that are open at one place of the topic,
and 30 bytes for each call of the partition.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from streams.calls.call import Call
from streams.errors import UnreadableRow
from streams.replay.call_index import CallIndex, key_hash
from streams.replay.ranges import PartitionRange
from streams.replay.source import RowRecord
from streams.rows.row import CapturedRow
from streams.workers.aggregate.record_decoder import RecordDecoder

_START = b"CHAN_START"


@dataclass(slots=True)
class FoldedCall:
    """A call with its rows, and where they stood."""

    call: Call
    first_offset: int
    first_ms: int
    """When the record of its first row was written (Unix milliseconds)."""
    last_offset: int = 0
    last_commit_ms: int = 0
    """When the database committed its last row, as stream time has it."""
    rows_gone: bool = False
    """Retention removed rows while they were read: some of it may have been among them."""


@dataclass(slots=True)
class KeyOffsets:
    """The first reading: give every record to `note`."""

    keys: frozenset[bytes] | None = None
    """The keys of the rows that are needed; None: all."""
    pbxs: frozenset[str] = frozenset()
    """Those of which it is to be known whether they log the start of channels."""
    decoder: RecordDecoder | None = None
    starts_logged: set[str] = field(default_factory=set)
    first_read_ms: int | None = None
    """When the first record was written (Unix milliseconds)."""
    index: CallIndex = field(default_factory=lambda: CallIndex(2))

    def note(self, records: Iterable[RowRecord]) -> None:
        """Take the next records."""
        index, keys = self.index, self.keys
        place, (firsts, lasts), count = index.place, index.columns, len(index)
        searching = self.starts_logged < self.pbxs
        for record in records:
            if self.first_read_ms is None:
                self.first_read_ms = record.timestamp
            key = record.key
            if searching and _START in (record.value or b""):
                self._note_start(record)
                searching = self.starts_logged < self.pbxs
            if key is not None and (keys is None or key in keys):
                number = place(key_hash(key))
                if number == count:
                    firsts[number] = record.offset
                    count += 1
                lasts[number] = record.offset

    def first(self, key: bytes) -> int:
        """The offset of the first record of a key; -1: it has none."""
        place = self.index.find(key_hash(key))
        return -1 if place is None else self.index.columns[0][place]

    def last(self, key: bytes) -> int:
        """The offset of its last one; -1: it has none."""
        place = self.index.find(key_hash(key))
        return -1 if place is None else self.index.columns[1][place]

    def _note_start(self, record: RowRecord) -> None:
        if self.decoder is None:
            return
        try:
            row = self.decoder.decode(record.value, record.timestamp)
        except UnreadableRow:
            return
        if row.eventtype == "CHAN_START":
            self.starts_logged.add(row.pbx)


class PartitionFold:
    """The second reading: give every record to `take`, in the order of offsets, and `finish` at the end."""

    def __init__(self, place: PartitionRange, keys: KeyOffsets, decoder: RecordDecoder, resume_from: int = 0) -> None:
        """`resume_from`: calls whose first row stands before are done."""
        self._range = place
        self._keys = keys
        self._decoder = decoder
        self._resume_from = max(resume_from, place.first)
        self._open: dict[tuple[str, str], FoldedCall | None] = {}
        """None: a call that begins outside."""
        self._pbxs: set[str] = set()
        self._times: dict[str, int] = {}
        self.unreadable = 0
        """Rows that could not be read."""
        self.calls_outside = 0

    @property
    def open_calls(self) -> int:
        """Calls that have further rows."""
        return len(self._open)

    @property
    def oldest_offset(self) -> int | None:
        """Where the first row of the open calls stands, those outside left out; None: there is none."""
        # Calls come into the dictionary in the order of their first rows.
        return next((call.first_offset for call in self._open.values() if call is not None), None)

    def take(self, records: Sequence[RowRecord]) -> Iterator[FoldedCall]:
        """The calls that are complete with one of these records."""
        keys, last = self._keys.keys, self._keys.last
        for record in records:
            key = record.key or b""
            if keys is not None and key not in keys:
                continue
            try:
                row = self._decoder.decode(record.value, record.timestamp)
            except UnreadableRow:
                self.unreadable += 1
            else:
                self._add(record, row)
            if record.offset >= last(key):
                yield from self._complete(key.decode("utf-8", "replace"))

    def lose(self, _next_offset: int) -> None:
        """Rows that were not taken are gone: whatever is open may lack some of them."""
        for folded in self._open.values():
            if folded is not None:
                folded.rows_gone = True

    def finish(self) -> Iterator[FoldedCall]:
        """The calls whose rows bear other keys than their linkedid: nobody knows before the end that they are whole."""
        left, self._open = self._open, {}
        yield from (folded for folded in left.values() if folded is not None)

    def _add(self, record: RowRecord, row: CapturedRow) -> None:
        pbx = row.pbx
        time = max(self._times.get(pbx, 0), row.commit_ms)
        self._times[pbx] = time
        self._pbxs.add(pbx)
        key = (pbx, row.linkedid)
        if key in self._open:
            folded = self._open[key]
        else:
            folded = FoldedCall(Call(*key), record.offset, record.timestamp) if self._begins_inside(record) else None
            self._open[key] = folded
            self.calls_outside += folded is None
        if folded is None or (folded.call.full and row.eventtype != "LINKEDID_END"):
            return
        folded.last_offset = record.offset
        if folded.call.add(row) or row.op == "r":
            folded.last_commit_ms = time

    def _begins_inside(self, record: RowRecord) -> bool:
        if not self._resume_from <= record.offset < self._range.last:
            return False
        # Where reading goes on, a call that was done before may have rows here too.
        return record.key is None or self._keys.first(record.key) >= self._resume_from

    def _complete(self, linkedid: str) -> Iterator[FoldedCall]:
        for pbx in self._pbxs:
            folded = self._open.pop((pbx, linkedid), None)
            if folded is not None:
                yield folded
