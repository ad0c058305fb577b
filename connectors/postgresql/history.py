"""Identity of a PostgreSQL server, and its replication slot: does what is there now continue what is remembered?

A slot keeps what its connector has not confirmed, so nothing is skipped while server and slot are the same: the
server's system identifier stays for life, its timeline changes when a standby is promoted or a backup restored, its WAL
only grows, and a slot that was made anew is ahead of the position that the connector stored. A table's file changes
with a TRUNCATE, after which ids may begin again; in a restored table ids differ and the file does not.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connectors.postgresql.checks import publication_refusals, read_facts, slot_name
from connectors.postgresql.connection import Run, connected, split_table
from connectors.row_mark import RowMark, row_conflict, row_mark
from streams.rows.row import RowDecoder
from streams.settings import DatabaseSettings, Settings, secret

_SERVER = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_id,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END AS lsn,
       coalesce(pg_relation_filenode(format('%%I.%%I', %s::text, %s::text)::regclass), 0)::bigint AS file
"""
_SLOT = """
SELECT active, wal_status, confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed, safe_wal_size,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_lsn() - restart_lsn END AS kept
FROM pg_replication_slots WHERE slot_name = %s
"""


class ServerHistory(msgspec.Struct, frozen=True):
    """The memory of a server. `lsn`: the place in its WAL, as a number of bytes."""

    system_id: str
    timeline: int
    lsn: int
    file: int = 0
    """The number of the table's file: another one after a TRUNCATE or a rewrite."""
    last_row: RowMark | None = None
    """The row with the highest id."""

    @property
    def told(self) -> str:
        """The server in words, for `connectors status`."""
        return f"server {self.system_id}, timeline {self.timeline}, WAL {lsn_text(self.lsn)}"


class WalPosition(msgspec.Struct, frozen=True):
    """Where the connector stands in the WAL, as a number of bytes."""

    lsn: int


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot as the server shows it."""

    name: str
    active: bool
    wal_status: str | None
    """reserved, extended, unreserved, lost."""
    confirmed: int
    """Up to here (LSN) the connector has everything, and the server sends nothing before it any more."""
    kept: int
    """Bytes of WAL that the server keeps for it."""
    room: int | None = None
    """Bytes that it may keep further before it is given up; None: without limit."""


@dataclass(frozen=True, slots=True)
class DatabaseSnapshot:
    """A server as it shows itself now."""

    history: ServerHistory
    slot: Slot | None
    """None: there is none of that name."""
    slot_name: str
    publication_fault: str | None = None
    """Why the table's rows do not come by the publication."""
    row_at_id: RowMark | None = None
    """The row that has the remembered row's id now."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of `compare`."""

    interruption: str | None = None
    """Why rows may be missing; None where none is."""
    remarks: tuple[str, ...] = ()
    """Changes that lose nothing."""


def compare(remembered: ServerHistory | None, position: WalPosition | None, now: DatabaseSnapshot) -> Comparison:
    """Whether server and slot continue what is remembered. Pure. `position`: what the connector stored last."""
    interruption = (
        _other_server(remembered, now.history) or _unusable_slot(position, now) or now.publication_fault or None
    )
    if interruption or remembered is None:
        return Comparison(interruption)
    row = row_conflict(remembered.last_row, now.row_at_id, now.history.last_row)
    if row and remembered.file == now.history.file:
        return Comparison(f"{row}, though the table's file is the same (a restored or replaced database)")
    promoted = now.history.timeline != remembered.timeline
    told = f"the server was promoted to timeline {now.history.timeline}, with its slot" if promoted else None
    return Comparison(remarks=tuple(filter(None, (told, row))))


def _other_server(remembered: ServerHistory | None, now: ServerHistory) -> str | None:
    if remembered is None:
        return None
    if remembered.system_id != now.system_id:
        return f"another server answers (system identifier {now.system_id}, before {remembered.system_id})"
    if now.lsn < remembered.lsn:
        return (
            f"its WAL has gone back: it stands at {lsn_text(now.lsn)}, after {lsn_text(remembered.lsn)} "
            "(a restored or replaced database, or a failover to a standby that lacked the last rows)"
        )
    return None


def _unusable_slot(position: WalPosition | None, now: DatabaseSnapshot) -> str | None:
    slot = now.slot
    if slot is None:
        return f"there is no replication slot {now.slot_name} any more (dropped, or a failover to a server without it)"
    if slot.wal_status == "lost":
        return f"the server has given replication slot {slot.name} up, and removed WAL that was not read"
    if position is not None and slot.confirmed > position.lsn:
        return (
            f"replication slot {slot.name} was made anew or moved on: it stands at {lsn_text(slot.confirmed)}, the "
            f"connector at {lsn_text(position.lsn)}"
        )
    return None


def lsn_text(lsn: int) -> str:
    """As PostgreSQL writes it: `16/B374D848`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def decode_position(offset: Mapping[str, Any]) -> WalPosition | None:
    """The position in a Debezium PostgreSQL connector's offset; None: the offset is empty."""
    places = [offset.get(name) for name in ("lsn", "lsn_proc", "lsn_commit")]
    known = [place for place in places if isinstance(place, int)]
    return WalPosition(max(known)) if known else None


async def read_snapshot(settings: Settings, remembered: ServerHistory | None) -> DatabaseSnapshot:
    """Ask the server, as the capture user. Raises UserError as `check_database` does."""
    database = settings.database
    password = secret(database.password, database.password_file, "database.password")
    return await asyncio.to_thread(_read_snapshot, database, slot_name(settings), password, remembered)


def _read_snapshot(
    database: DatabaseSettings, slot: str, password: str, remembered: ServerHistory | None
) -> DatabaseSnapshot:
    with connected(database, password) as run:
        (server,) = run(_SERVER, split_table(database))
        faults = publication_refusals(read_facts(run, database, slot), database)
        table = _Table(run, database)
        history = ServerHistory(
            str(server["system_id"]), int(server["timeline"]), int(server["lsn"]), int(server["file"]), table.last_row()
        )
        return DatabaseSnapshot(
            history,
            read_slot(run, slot),
            slot,
            publication_fault=faults[0] if faults else None,
            row_at_id=table.row(remembered.last_row.id) if remembered and remembered.last_row else None,
        )


def read_slot(run: Run, name: str) -> Slot | None:
    """The slot of that name; None: there is none."""
    rows = run(_SLOT, [name])
    if not rows:
        return None
    room = rows[0]["safe_wal_size"]
    return Slot(
        name,
        bool(rows[0]["active"]),
        rows[0]["wal_status"],
        int(rows[0]["confirmed"] or 0),
        int(rows[0]["kept"] or 0),
        None if room is None else int(room),
    )


class _Table:
    """SELECTs on the cel table, with the names that its columns have there."""

    def __init__(self, run: Run, database: DatabaseSettings) -> None:
        self._run = run
        names = RowDecoder(database.column_name_aliases)
        self._id, *others = (quoted(names.column(name)) for name in ("id", "uniqueid", "eventtime"))
        columns = f"{self._id} AS id, {others[0]} AS uniqueid, {others[1]}::text AS eventtime"
        self._query = f"SELECT {columns} FROM {'.'.join(map(quoted, split_table(database)))}"  # noqa: S608

    def last_row(self) -> RowMark | None:
        return _row_mark(self._run(f"{self._query} ORDER BY {self._id} DESC LIMIT 1", []))

    def row(self, row_id: int) -> RowMark | None:
        return _row_mark(self._run(f"{self._query} WHERE {self._id} = %s", [row_id]))


def _row_mark(rows: list[dict[str, Any]]) -> RowMark | None:
    return row_mark(int(rows[0]["id"]), str(rows[0]["uniqueid"]), str(rows[0]["eventtime"])) if rows else None


def quoted(name: str) -> str:
    """An identifier as it stands in SQL with parameters."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'
