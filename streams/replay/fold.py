"""The rows of one partition folded into whole calls, in two readings of the same offsets. Pure.

The first reading notes where each call's last row stands; in the second a call is complete at that row, with every row
that it has there, however late it came. So memory follows the calls that are open at one place of the topic, and 20
bytes for each call of the partition.
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
class LastOffsets:
    """The first reading: give every record to `note`."""

    keys: frozenset[bytes] | None = None
    """The keys of the rows that are needed; None: all."""
    pbxs: frozenset[str] = frozenset()
    """Those of which it is to be known whether they log the start of channels."""
    decoder: RecordDecoder | None = None
    starts_logged: set[str] = field(default_factory=set)
    first_read_ms: int | None = None
    """When the first record was written (Unix milliseconds)."""
    index: CallIndex = field(default_factory=lambda: CallIndex(1))

    def note(self, records: Iterable[RowRecord]) -> None:
        """Take the next records."""
        index, keys = self.index, self.keys
        place, (offsets,) = index.place, index.columns
        searching = self.starts_logged < self.pbxs
        for record in records:
            if self.first_read_ms is None:
                self.first_read_ms = record.timestamp
            key = record.key
            if searching and _START in (record.value or b""):
                self._note_start(record)
                searching = self.starts_logged < self.pbxs
            if key is not None and (keys is None or key in keys):
                offsets[place(key_hash(key))] = record.offset

    def of(self, key: bytes) -> int:
        """The offset of the last record of a key; -1: it has none."""
        place = self.index.find(key_hash(key))
        return -1 if place is None else self.index.columns[0][place]

    def _note_start(self, record: RowRecord) -> None:
        if self.decoder is None:
            return
        try:
            row = self.decoder.decode(record.value, record.timestamp / 1000)
        except UnreadableRow:
            return
        if row.eventtype == "CHAN_START":
            self.starts_logged.add(row.pbx)


class PartitionFold:
    """The second reading: give every record to `take`, in the order of offsets, and `finish` at the end."""

    def __init__(
        self, place: PartitionRange, last: LastOffsets, decoder: RecordDecoder, passed: frozenset[bytes] = frozenset()
    ) -> None:
        """`passed`: keys of calls that begin inside and are not needed again."""
        self._range = place
        self._last = last
        self._decoder = decoder
        self._passed = passed
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
        keys, last = self._last.keys, self._last
        for record in records:
            key = record.key or b""
            if keys is not None and key not in keys:
                continue
            try:
                row = self._decoder.decode(record.value, record.timestamp / 1000)
            except UnreadableRow:
                self.unreadable += 1
            else:
                self._add(record, row)
            if record.offset >= last.of(key):
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
            inside = self._range.first <= record.offset < self._range.last and (record.key or b"") not in self._passed
            folded = FoldedCall(Call(*key), record.offset, record.timestamp) if inside else None
            self._open[key] = folded
            self.calls_outside += folded is None
        if folded is None or (folded.call.full and row.eventtype != "LINKEDID_END"):
            return
        folded.last_offset = record.offset
        if folded.call.add(row) or row.op == "r":
            folded.last_commit_ms = time

    def _complete(self, linkedid: str) -> Iterator[FoldedCall]:
        for pbx in self._pbxs:
            folded = self._open.pop((pbx, linkedid), None)
            if folded is not None:
                yield folded
