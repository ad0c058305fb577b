"""Identity and history of a MariaDB server: is what it shows now the continuation of what is remembered?

Debezium compares GTIDs only: after RESET MASTER, or in a restored or replaced database, it goes on without a word as
soon as the new history has as many transactions as the old one, and every row before is skipped.

The proof of an unbroken history is a mark: a position in the binlog with the GTIDs up to there, and a digest of the
file's first events. BINLOG_GTID_POS() answers with the GTIDs at a position of a file, and with NULL where no event
begins; SHOW BINLOG EVENTS shows statements and transaction numbers, which no other history repeats. Neither holds up
inserts (measured on 10.11 with a file of 60 MB: 10 to 60 ms and 3 ms, inserts as fast as without).
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pymysql.cursors import DictCursor

from connectors.mariadb.checks import connected
from connectors.row_mark import RowMark, row_conflict, row_mark
from streams.rows.row import RowDecoder
from streams.settings import DatabaseSettings, secret

DEEPEST_MARK = 64 * 1024 * 1024
"""Bytes into a binlog file, at most: the server reads the file from its start to answer for a mark."""


FIRST_EVENTS = 20
"""Of a binlog file, in a mark's digest: its header and some transactions."""


class BinlogMark(msgspec.Struct, frozen=True):
    """A position where an event begins in a binlog file, and the GTIDs up to there (`0-1-1489`, one a domain)."""

    file: str
    position: int
    gtids: str
    first_events: int = 0
    """How many of the file's first events `digest` is made of; 0: none."""
    digest: str = ""


class DatabaseHistory(msgspec.Struct, frozen=True):
    """The memory of a server. `server_uid` is empty before MariaDB 10.5.26, and changes with its hardware."""

    gtids: str
    mark: BinlogMark | None = None
    last_row: RowMark | None = None
    """The row with the highest id."""
    server_id: int | None = None
    server_uid: str = ""

    @property
    def told(self) -> str:
        """The server in words, for `connectors status`."""
        return f"server {self.server_id}, GTID {self.gtids or '(none)'}"


@dataclass(frozen=True, slots=True)
class DatabaseSnapshot:
    """A server as it shows itself now, and its answers about something that is remembered."""

    history: DatabaseHistory
    binlogs: Mapping[str, int]
    """Size of each binlog file."""
    gtids_at_mark: str | None = None
    """The GTIDs at the remembered mark; None where it is not there, or not asked for."""
    digest_at_mark: str = ""
    """Digest of as many first events of the mark's file as the mark's is made of."""
    row_at_id: RowMark | None = None
    """The row that has the remembered row's id now."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of `compare`."""

    interruption: str | None = None
    """Why the server's history is not the remembered one; None where it is."""
    remarks: tuple[str, ...] = ()
    """Changes that lose nothing."""


def compare(remembered: DatabaseHistory, now: DatabaseSnapshot, *, own_mark: bool = True) -> Comparison:
    """Whether the server continues the history that is remembered. Pure.

    `own_mark`: the mark was made by `read_snapshot`, so that an event surely begins there. The position that a
    connector stored is one as a rule: where the server has no answer for it, it proves nothing.
    """
    if behind := _gone_back(remembered.gtids, now.history.gtids):
        return Comparison(
            f"its binlog has gone back: it stands at GTID {now.history.gtids or '(none)'}, after {behind} "
            "(RESET MASTER, or a restored or replaced database)"
        )
    if remade := _remade(remembered.mark, now, own_mark=own_mark):
        return Comparison(remade)
    replaced = _other_server(remembered, now.history)
    row = row_conflict(remembered.last_row, now.row_at_id, now.history.last_row)
    if remembered.mark is not None and _same_gtids(now.gtids_at_mark, remembered.mark.gtids):
        # The same binlog goes on: ids that begin again are a TRUNCATE, another server id a new setting or machine.
        return Comparison(remarks=tuple(filter(None, (replaced, row))))
    return Comparison(replaced or row)


def gtids_by_domain(gtids: str | None) -> dict[int, int]:
    """The highest sequence number of each domain in a GTID list such as `0-1-1489,1-2-7`."""
    found: dict[int, int] = {}
    for domain, number in re.findall(r"(\d+)-\d+-(\d+)", gtids or ""):
        found[int(domain)] = max(int(number), found.get(int(domain), 0))
    return found


def _gone_back(remembered: str, now: str) -> str:
    """Remembered GTIDs that the server has not reached; empty: none."""
    reached = gtids_by_domain(now)
    behind = {
        domain: number for domain, number in gtids_by_domain(remembered).items() if reached.get(domain, 0) < number
    }
    return remembered if behind else ""


def _remade(mark: BinlogMark | None, now: DatabaseSnapshot, *, own_mark: bool) -> str | None:
    """Why the binlog is not the one with the mark. A file that was purged says nothing."""
    if mark is None:
        return None
    if mark.file in now.binlogs:
        other = now.gtids_at_mark is not None and not _same_gtids(now.gtids_at_mark, mark.gtids)
        other |= bool(mark.first_events) and now.digest_at_mark != mark.digest
        gone = own_mark and now.gtids_at_mark is None
        shorter = now.binlogs[mark.file] < mark.position
        if other or gone or shorter:
            return f"its binlog file {mark.file} was made anew (RESET MASTER, or a restored or replaced database)"
    elif all(_number(file) < _number(mark.file) for file in now.binlogs):
        last = max(now.binlogs, default="none")
        return (
            f"its binlog has begun again: {mark.file} was reached, now the last file is {last} "
            "(RESET MASTER, or a restored or replaced database)"
        )
    return None


def _same_gtids(one: str | None, other: str) -> bool:
    return one is not None and gtids_by_domain(one) == gtids_by_domain(other)


def _number(file: str) -> int:
    tail = file.rpartition(".")[2]
    return int(tail) if tail.isdigit() else 0


def _other_server(remembered: DatabaseHistory, now: DatabaseHistory) -> str | None:
    if remembered.server_uid and now.server_uid and remembered.server_uid != now.server_uid:
        return f"another server answers (server_uid {now.server_uid}, before {remembered.server_uid})"
    if remembered.server_id is not None and remembered.server_id != now.server_id:
        return f"another server answers (server_id {now.server_id}, before {remembered.server_id})"
    return None


async def read_snapshot(database: DatabaseSettings, remembered: DatabaseHistory | None) -> DatabaseSnapshot:
    """Ask the server, as the capture user. Raises UserError as `check_database` does."""
    password = secret(database.password, database.password_file, "database.password")
    return await asyncio.to_thread(_read_snapshot, database, password, remembered)


def _read_snapshot(database: DatabaseSettings, password: str, remembered: DatabaseHistory | None) -> DatabaseSnapshot:
    # The binlog's statements hold whatever callers sent.
    with connected(database, password, texts=False) as cursor:
        (server,) = _select(cursor, "SELECT @@server_id AS id, @@gtid_binlog_pos AS gtids")
        uid = _select(cursor, "SHOW GLOBAL VARIABLES LIKE 'server_uid'")
        binlogs = {row["Log_name"]: int(row["File_size"]) for row in _select(cursor, "SHOW BINARY LOGS")}
        mark = remembered.mark if remembered else None
        table = _Table(database)
        history = DatabaseHistory(
            gtids=str(server["gtids"] or ""),
            mark=_new_mark(cursor, mark),
            last_row=table.last_row(cursor),
            server_id=int(server["id"]),
            server_uid=str(uid[0]["Value"]) if uid else "",
        )
        return DatabaseSnapshot(
            history,
            binlogs,
            gtids_at_mark=_gtids_at(cursor, mark.file, mark.position) if mark and mark.file in binlogs else None,
            digest_at_mark=_digest(cursor, mark.file, mark.first_events)[1] if mark and mark.file in binlogs else "",
            row_at_id=table.row(cursor, remembered.last_row.id) if remembered and remembered.last_row else None,
        )


def _new_mark(cursor: DictCursor, remembered: BinlogMark | None) -> BinlogMark | None:
    """The end of the binlog; deep in a large file, the mark that is remembered in it, or its beginning."""
    (status,) = _select(cursor, "SHOW MASTER STATUS")
    file, position = str(status["File"]), int(status["Position"])
    if position > DEEPEST_MARK:
        if remembered is not None and remembered.file == file:
            return remembered
        # Format description, GTID list, then the first event after which that list holds.
        beginning = _select(cursor, "SHOW BINLOG EVENTS IN %s LIMIT 3", file)
        position = int(beginning[-1]["Pos"])
    gtids = _gtids_at(cursor, file, position)
    return remembered if gtids is None else BinlogMark(file, position, gtids, *_digest(cursor, file, FIRST_EVENTS))


def _digest(cursor: DictCursor, file: str, events: int) -> tuple[int, str]:
    """How many events there are, `events` at most, and the digest of them: never the statements, they name people."""
    found = _select(cursor, "SHOW BINLOG EVENTS IN %s LIMIT %s", file, events) if events else []
    text = "\n".join(f"{row['Pos']} {row['Event_type']} {row['Server_id']} {row['Info']}" for row in found)
    return len(found), hashlib.sha256(text.encode()).hexdigest()


def _gtids_at(cursor: DictCursor, file: str, position: int) -> str | None:
    if position > DEEPEST_MARK:
        return None
    (answer,) = _select(cursor, "SELECT BINLOG_GTID_POS(%s, %s) AS gtids", file, position)
    return None if answer["gtids"] is None else str(answer["gtids"])


class _Table:
    """SELECTs on the cel table, with the names that its columns have there."""

    def __init__(self, database: DatabaseSettings) -> None:
        names = RowDecoder(database.column_name_aliases)
        self._id, *others = (_quoted(names.column(name)) for name in ("id", "uniqueid", "eventtime"))
        columns = f"{self._id} AS id, {others[0]} AS uniqueid, {others[1]} AS eventtime"
        self._query = f"SELECT {columns} FROM {_quoted(database.name)}.{_quoted(database.table)}"  # noqa: S608

    def last_row(self, cursor: DictCursor) -> RowMark | None:
        return _row_mark(_select(cursor, f"{self._query} ORDER BY {self._id} DESC LIMIT 1"))

    def row(self, cursor: DictCursor, row_id: int) -> RowMark | None:
        return _row_mark(_select(cursor, f"{self._query} WHERE {self._id} = %s", row_id))


def _row_mark(rows: list[dict[str, Any]]) -> RowMark | None:
    return row_mark(int(rows[0]["id"]), str(rows[0]["uniqueid"]), str(rows[0]["eventtime"])) if rows else None


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _select(cursor: DictCursor, query: str, *values: object) -> list[dict[str, Any]]:
    cursor.execute(query, values or None)
    return [{name: _text(value) for name, value in row.items()} for row in cursor.fetchall()]


def _text(value: object) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
