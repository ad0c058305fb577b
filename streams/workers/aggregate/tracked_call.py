"""A call that the aggregate worker remembers."""

from dataclasses import dataclass

from streams.calls.call import Call
from streams.calls.missing_rows import Missing
from streams.rows.row import CapturedRow


@dataclass(slots=True)
class TrackedCall:
    """A call that the worker remembers: it is open, or its grace time still runs."""

    call: Call
    opened_at_ms: int | None
    """Time at which its channel was made, by its linkedid (Unix milliseconds); None where the linkedid does not tell
    (or tells the future)."""
    last_row_ms: int = 0
    """Stream time at its last new row (Unix milliseconds)."""
    ended: bool = False
    backfilled: bool = True
    """True while every row came from a snapshot of the table, none live."""
    covered_offset: int = 0
    """The snapshot that it was restored from says what became of rows before this offset, which may be ahead of the
    committed one: they are in it, or they were refused and must not come in now because the call is known by now."""
    missing: Missing = Missing.NOTHING
    """Whether rows of it may have been lost."""

    def row_came(self, row: CapturedRow, *, new: bool) -> None:
        """Note by which way a row came: a new one, or a known one that a backfill brings again."""
        missing = self.missing.after_row(row, new=new)
        if row.op != "r":
            self.backfilled = False
        elif self.missing.withholds and not missing.waits:
            self.backfilled = True  # read to its end, but nobody saw its beginning: no CRM shows it unasked
        self.missing = missing
