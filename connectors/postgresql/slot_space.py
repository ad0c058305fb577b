"""The WAL that a replication slot keeps on the server's disk: told before it fills it, or is given up. Pure."""

from connectors.fault import Fault
from connectors.postgresql.history import Slot

MUCH = 1 << 30
"""Bytes that a slot whose connector works never keeps: it is told of what was read within a minute."""
LITTLE_ROOM = 256 << 20
"""Bytes before the server gives the slot up: some minutes on a busy one. Of a small limit its half."""


def space_faults(slot: Slot) -> tuple[Fault, ...]:
    """What to do about the WAL that the slot keeps; empty: nothing. A slot that was given up is an interruption."""
    kept = f"replication slot {slot.name} keeps {size_text(slot.kept)} of WAL on the server's disk"
    idle = "" if slot.active else ", and no connector reads it"
    if slot.wal_status == "unreserved" or (slot.room is not None and slot.room < _little_room(slot)):
        room = "the next checkpoint" if slot.room is None or slot.room <= 0 else f"{size_text(slot.room)} more"
        return (
            Fault(
                f"{kept}{idle}: after {room} the server gives it up, and rows are missing",
                "Get the connector going at once: cel2crm connectors apply; until then raise max_slot_wal_keep_size. "
                f"{_AFTER}",
            ),
        )
    if slot.kept < MUCH:
        return ()
    limit = (
        "" if slot.room is not None else "; max_slot_wal_keep_size is not set, so that it grows until the disk is full"
    )
    return (Fault(f"{kept}{idle}{limit}", f"Get the connector going: cel2crm connectors apply. {_AFTER}"),)


def _little_room(slot: Slot) -> float:
    return min(LITTLE_ROOM, (slot.kept + (slot.room or 0)) / 2)


_AFTER = (
    "Without the capture: SELECT pg_drop_replication_slot(..) frees it; the rows since then come by cel2crm connectors "
    "start-afresh and its backfill."
)


def slot_told(slot: Slot) -> str:
    """A line for `connectors status`."""
    used = "in use" if slot.active else "not in use"
    return f"replication slot {slot.name}: {used}, keeps {size_text(slot.kept)} of WAL"


def size_text(count: int) -> str:
    """Bytes for a person: `1.2 GB`."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GB"
    if count >= 1 << 20:
        return f"{count / (1 << 20):.0f} MB"
    return f"{max(0, count) / 1024:.0f} kB"
