"""A mark of one row of the cel table: what is remembered of it, whatever the database."""

import msgspec


class RowMark(msgspec.Struct, frozen=True):
    """A row of the cel table; `eventtime` to the second, in the PBX's own clock."""

    id: int
    uniqueid: str
    eventtime: str


def row_mark(row_id: int, uniqueid: str, eventtime: str) -> RowMark:
    """A mark of a row, from the table or the topic: both spell a time to the second alike then."""
    return RowMark(row_id, uniqueid, eventtime[:19].replace("T", " "))


def row_conflict(row: RowMark | None, now: RowMark | None, last: RowMark | None) -> str | None:
    """Evidence that the table is not the one that held `row`: `now` has its id, `last` the highest.

    A deleted row shows nothing.
    """
    if row is None or now == row:
        return None
    if now is not None:
        return (
            f"row {row.id} is another one: {now.uniqueid} of {now.eventtime}, before {row.uniqueid} of {row.eventtime}"
        )
    if last is None or last.id < row.id:
        return f"the highest id is {last.id if last else 0}, row {row.id} was there before"
    return None
