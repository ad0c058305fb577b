"""Whether the capture goes on where it stood: the memory against what database, connector and topics show. Pure.

Rows are skipped without a word where the database's history is another one (history.py), and where the
connector has lost its position: with `snapshot.mode=no_data` it begins with the rows written from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from connectors.assessment import Assessment
from connectors.capture_state import CaptureState
from connectors.fault import Fault
from connectors.gtids import gtid_text, same_gtids
from connectors.mariadb.history import BinlogMark, DatabaseHistory, DatabaseSnapshot, compare
from connectors.row_mark import RowMark

BinlogState = CaptureState[DatabaseHistory, BinlogMark]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence as of now."""

    database: DatabaseSnapshot
    position: BinlogMark | None
    """The connector's stored position; None: it has none, or it is not known."""
    position_known: bool
    """False where Connect does not answer, or has no such connector."""
    captured: RowMark | None
    """The last row of this PBX on the topic."""
    schema_history_end: int
    """Records on Debezium's schema history topic."""
    starts: Sequence[BinlogMark]
    """Where the connector began without a position, by the schema history's records that are not remembered yet."""


def presumed(position: BinlogMark | None, captured: RowMark | None) -> DatabaseHistory | None:
    """The history to presume when nothing is remembered: the connector's position, the topic's last row.

    None: neither is there, so this PBX was never captured.
    """
    if position is None and captured is None:
        return None
    return DatabaseHistory(gtids=position.gtids if position else "", mark=position, last_row=captured)


def assess(state: BinlogState | None, now: Evidence) -> Assessment:
    """Compare, and say what to remember from now on."""
    if state is None:
        return _assess_without_memory(now)
    begun = now.starts[-1] if now.starts else state.began_at
    new: BinlogState = CaptureState(
        database=now.database.history,
        captured=now.captured or state.captured,
        position=now.position or state.position,
        began_at=begun,
        schema_history_end=max(now.schema_history_end, state.schema_history_end),
    )
    comparison = compare(state.database, now.database)
    lost = comparison.interruption or _lost_position(state, now, begun)
    return Assessment(state if lost else new, lost, comparison.remarks, _warnings(state, now))


def _assess_without_memory(now: Evidence) -> Assessment:
    state: BinlogState = CaptureState(
        database=now.database.history,
        captured=now.captured,
        position=now.position,
        began_at=now.starts[-1] if now.starts else None,
        schema_history_end=now.schema_history_end,
    )
    known = presumed(now.position, now.captured)
    if known is None:
        return Assessment(state, remarks=("this database is remembered from now on",))
    comparison = compare(known, now.database, own_mark=False)
    if comparison.interruption:
        return Assessment(state, comparison.interruption)
    if now.position_known and now.position is None:
        return Assessment(state, "the connector has no position, though rows of this PBX are on the topic")
    told = "nothing was remembered of this database, though it has been captured: it is taken as it is now"
    return Assessment(state, remarks=(f"{told}; {_row_told(now)}", *comparison.remarks))


def _row_told(now: Evidence) -> str:
    if now.captured is None:
        return "the topic holds no row of this PBX"
    stands = "stands in the table as captured" if now.database.row_at_id else "is not in the table any more"
    return f"the last captured row ({now.captured.id}, {now.captured.eventtime}) {stands}"


def _lost_position(state: BinlogState, now: Evidence, begun: BinlogMark | None) -> str | None:
    if state.position is not None and now.position_known and now.position is None:
        return f"the connector has lost its position ({_place(state.position)})"
    if state.began_at is None or begun is None or begun == state.began_at:
        return None
    if same_gtids(begun.gtids, state.began_at.gtids) and begun.gtids:
        return None  # nothing was written between the two starts
    before = state.position or state.began_at
    return f"the connector had lost its position ({_place(before)}) and began again at {_place(begun)}"


def _place(mark: BinlogMark) -> str:
    return f"GTID {gtid_text(mark.gtids)}" if mark.gtids else f"{mark.file}:{mark.position}"


def _warnings(state: BinlogState, now: Evidence) -> tuple[Fault, ...]:
    if now.schema_history_end >= state.schema_history_end:
        return ()
    told = (
        f"the schema history topic has lost records ({now.schema_history_end} of {state.schema_history_end} are left): "
        "capture goes on until the connector's next restart, which fails"
    )
    return (Fault(told, "Run: cel2crm connectors start-afresh"),)


def decode_position(offset: dict[str, object]) -> BinlogMark | None:
    """The position in a Debezium MariaDB connector's offset; None: the offset is empty."""
    if not offset.get("file"):
        return None
    return msgspec.convert(
        {"file": offset["file"], "position": offset.get("pos", 0), "gtids": offset.get("gtids") or ""}, BinlogMark
    )
