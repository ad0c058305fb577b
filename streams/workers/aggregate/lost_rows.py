"""Rows that were lost on the topic: which calls may lack some of them, and when a backfill has brought them. Pure.

Rows are lost where retention removes them before they are taken, and where an offset that was set by hand passes over
them. A call that may have had rows among them is not
judged from its other rows: it is withheld until a backfill has read it again (rule 3).
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from streams.rows.row import CapturedRow, CelRow

_NOT_YET = 0
"""In the place of a time: no row of the PBX has come since."""

_OTHERS = ""
"""In the place of a name: PBXs of which no row has come ever."""

NOBODY_KNOWS: Mapping[str, int] = {_OTHERS: _NOT_YET}
"""With this `LostRows` begins where nothing is remembered, though rows stood before the first one that is taken."""

CLOCKS_APART_MS = 60_000
"""By how much Asterisk's clock, which the linkedid tells, may be ahead of the database's."""


class Missing(IntEnum):
    """Whether a call lacks rows. The numbers stand in checkpoints."""

    NOTHING = 0
    AFTER_ITS_END = 1
    """It had ended before rows were lost, or was read again from its middle on: another row says that it went on, and
    may lack what was lost."""
    FIRST_ROWS = 2
    """It is known from its middle on. Its first row may still come, if its rows were inserted out of order."""
    ROWS = 3
    """It was under way while rows were lost."""
    READ_AGAIN = 4
    """Before that its first row has come by a backfill, and the others follow."""

    @property
    def withholds(self) -> bool:
        """Whether the call is not judged."""
        return self in (Missing.FIRST_ROWS, Missing.ROWS)

    @property
    def waits(self) -> bool:
        """Whether the rest of a backfill is waited for."""
        return self >= Missing.FIRST_ROWS

    def after_loss(self, *, ended: bool) -> "Missing":
        """The state after rows were lost, for a call that has ended before (with a result, or withheld) or has not."""
        return Missing.ROWS if not ended or self.withholds else Missing.AFTER_ITS_END

    def after_row(self, row: CapturedRow, *, new: bool) -> "Missing":
        """The state after a row of the call; one that is known already counts where it is backfilled.

        A backfill reads a call in the order of ids: from its first row to its LINKEDID_END it brings all. Where the row
        that opens the call is not in the table, nobody knows whether the beginning of the backfill was lost too.
        """
        if self is Missing.NOTHING:
            return self
        if row.op != "r":
            if self is Missing.FIRST_ROWS and opens_call(row):
                return Missing.NOTHING
            return Missing.ROWS if self is Missing.AFTER_ITS_END else self
        if opens_call(row):
            return Missing.READ_AGAIN
        if row.eventtype == "LINKEDID_END":
            return Missing.NOTHING if self is Missing.READ_AGAIN else Missing.AFTER_ITS_END
        return Missing.ROWS if new and self is Missing.AFTER_ITS_END else self


def opens_call(row: CelRow) -> bool:
    """Whether this is the row that Asterisk logs first: the start of the channel that the call is named after."""
    return row.eventtype == "CHAN_START" and row.uniqueid == row.linkedid


class LostRows:
    """Until when rows were lost, by PBX: stream time (Unix milliseconds) at its first streamed row afterwards."""

    def __init__(self, until: Mapping[str, int]) -> None:
        self.until: dict[str, int] = dict(until)

    def lost(self, pbxs: Iterable[str]) -> None:
        """Rows were lost; of which of these PBXs, or of which other one, nobody can say."""
        self.until = dict.fromkeys((_OTHERS, *pbxs), _NOT_YET)

    def new_pbx(self, pbx: str) -> None:
        """A PBX was not known until now."""
        if _OTHERS in self.until:
            self.until[pbx] = _NOT_YET

    def streamed_row(self, pbx: str, time: int) -> None:
        """A streamed row of a PBX came; `time`: stream time then."""
        if self.until.get(pbx) == _NOT_YET:
            self.until[pbx] = time

    def may_include_first_rows(self, pbx: str, opened_at_ms: int | None) -> bool:
        """Whether the first rows of a call may be among them, by the second in its linkedid."""
        until = self.until.get(pbx)
        return until is not None and opened_at_ms is not None and opened_at_ms <= until + CLOCKS_APART_MS

    def forget(self, times: Mapping[str, int], grace_ms: int) -> None:
        """Forget what matters no more: the streamed rows of calls from then are too late by now."""
        kept = {
            pbx: until
            for pbx, until in self.until.items()
            if until == _NOT_YET or times.get(pbx, 0) <= until + CLOCKS_APART_MS + grace_ms
        }
        over = len(kept) < len(self.until) and kept.keys() == {_OTHERS}
        self.until = {} if over else kept
