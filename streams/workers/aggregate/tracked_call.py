"""A call that the aggregate worker remembers."""

import msgspec

from streams.calls.call import Call, End
from streams.calls.missing_rows import Missing
from streams.calls.segments import LongCall, Segments
from streams.calls.snapshot import unpacked
from streams.rows.row import CapturedRow, CelRow


class TrackedCall(msgspec.Struct, gc=False):
    """A call that the worker remembers: it is open, or its grace time still runs.

    Once it has ended and a checkpoint holds it, it is sealed: its rows are kept as they stand in its snapshot, a
    thirtieth of their size. What decides about rows to come stands beside them.
    """

    pbx: str
    opened_at_ms: int | None
    """Time at which its channel was made, by its linkedid (Unix milliseconds); None where the linkedid does not tell
    (or tells the future)."""
    last_row_ms: int = 0
    """Stream time at its last new row (Unix milliseconds)."""
    ended: bool = False
    backfilled: bool = True
    """True while every row came from a snapshot of the table, none live."""
    end: End = End.NOT_SEEN
    """The end that its rows show."""
    missing: Missing = Missing.NOTHING
    """Whether rows of it may have been lost."""
    covered_offset: int = 0
    """The snapshot that it was restored from says what became of rows before this offset, which may be ahead of the
    committed one: they are in it, or they were refused and must not come in now because the call is known by now."""
    thawed: Call | None = None
    """None: it is sealed."""
    packed: bytes | None = None
    """The rows that no segment holds, as in a snapshot; None where they have changed since they were packed last, or
    never were."""
    segments: Segments | None = None
    """The oldest rows of a long call, as in its segments."""

    @property
    def call(self) -> Call:
        """Its rows. Of a sealed call: after `thaw`."""
        if self.thawed is None:
            raise ValueError("a sealed call is asked for its rows: thaw it first")
        return self.thawed

    @property
    def sealed(self) -> bool:
        """Whether its rows are there in their packed form only."""
        return self.thawed is None

    def thaw(self, key: str) -> None:
        """Have the rows of a sealed call as rows again. Raises UnreadableSnapshot, with the call's key."""
        self.thawed = unpacked(key, self.packed or b"", self.segments)

    def seal(self, packed: bytes) -> None:
        """Keep the rows, which these are beside those in segments, in their packed form only."""
        self.packed = packed
        self.thawed = None

    def add(self, row: CelRow) -> None:
        """Take a row that it does not know."""
        self.call.add(row)
        self.end = self.call.end
        self.packed = None

    def cut(self, rows: int) -> bool:
        """Make the next segment, if so many rows are in none; whether it did."""
        if self.thawed is None or len(self.thawed) < rows:
            return False
        segments = self.segments or Segments()
        if not segments.cut(self.thawed, rows):
            return False
        self.segments = segments
        self.packed = None
        return True

    @property
    def rows_not_in_segments(self) -> int:
        """How many; of a call that is not sealed."""
        return len(self.call) - (self.segments.rows if self.segments else 0)

    def packed_rows(self) -> bytes:
        """The rows for a snapshot, but those in segments."""
        if self.packed is not None:
            return self.packed
        if self.segments is None:
            return self.call.to_bytes()
        return self.call.packed(self.call.arrived(self.segments.rows))

    def rows_in_snapshot(self, packed: bytes) -> bytes | LongCall:
        """These rows, which no segment holds, as they stand in the call's snapshot."""
        return packed if self.segments is None else self.segments.head(packed)

    def row_came(self, row: CapturedRow, *, new: bool) -> None:
        """Note by which way a row came: a new one, or a known one that a backfill brings again."""
        missing = self.missing.after_row(row, new=new)
        if row.op != "r":
            self.backfilled = False
        elif self.missing.withholds and not missing.waits:
            self.backfilled = True  # read to its end, but nobody saw its beginning: no CRM shows it unasked
        self.missing = missing
