"""Whether a call lacks rows that were lost on the topic, and what its next row changes of that. Pure.

A call that may lack rows is not judged from its other ones: it is withheld until a backfill has read it again
(docs/architecture.md, rule 3).
"""

from collections.abc import Sequence
from enum import IntEnum

from streams.rows.row import CapturedRow, CelRow


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


def begins_in_its_middle(rows: Sequence[CelRow]) -> bool:
    """Whether the first rows of a call are not among these, its rows in the order of ids. Its PBX logs CHAN_START.

    A channel whose rows the database refused (a name in letters that its table lacks) is not there at all: then the
    first row is the start of another one, and the call is judged without.
    """
    if any(map(opens_call, rows)):
        return False
    return rows[0].eventtype != "CHAN_START" or any(row.uniqueid == row.linkedid for row in rows)
