"""Whether the capture goes on where it stood: the memory against what server, slot, connector and topic show. Pure.

There is no schema history. A connector that has lost its position goes on from its slot, which is never ahead of it
(seen: rows that were written while it was stopped came), so nothing is lost by that while the slot is the same.
"""

from dataclasses import dataclass

from connectors.assessment import Assessment
from connectors.capture_state import CaptureState
from connectors.postgresql.history import DatabaseSnapshot, ServerHistory, WalPosition, compare, lsn_text
from connectors.postgresql.slot_space import slot_told, space_faults
from connectors.row_mark import RowMark

WalState = CaptureState[ServerHistory, WalPosition]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence as of now. Database and slot are asked before the position, which may have moved on since."""

    database: DatabaseSnapshot
    position: WalPosition | None
    """The connector's stored position; None: it has none, or it is not known."""
    position_known: bool
    """False where Connect does not answer, or has no such connector."""
    captured: RowMark | None
    """The last row of this PBX on the topic."""


def assess(state: WalState | None, now: Evidence) -> Assessment:
    """Compare, and say what to remember from now on."""
    new: WalState = CaptureState(
        database=now.database.history,
        captured=now.captured or (state.captured if state else None),
        position=now.position or (state.position if state else None),
    )
    slot = now.database.slot
    comparison = compare(state.database if state else None, new.position, now.database)
    interruption = comparison.interruption or _nothing_known(state, now)
    return Assessment(
        state or new if interruption else new,
        interruption,
        comparison.remarks if interruption else (*_first_remarks(state, now), *comparison.remarks),
        space_faults(slot) if slot else (),
        (slot_told(slot),) if slot else (),
    )


def _nothing_known(state: WalState | None, now: Evidence) -> str | None:
    """Rows were captured, and neither a memory nor a position tells up to where."""
    if state is None and now.captured is not None and now.position_known and now.position is None:
        return "the connector has no position, though rows of this PBX are on the topic"
    return None


def _first_remarks(state: WalState | None, now: Evidence) -> tuple[str, ...]:
    if state is not None:
        if state.position is None or now.position is not None or not now.position_known:
            return ()
        return (
            f"the connector has lost its position ({lsn_text(state.position.lsn)}): it goes on from its slot, rows may "
            "come twice, which changes nothing",
        )
    if now.position is None and now.captured is None:
        return ("this database is remembered from now on",)
    return ("nothing was remembered of this database, though it has been captured: it is taken as it is now",)
