"""Identity and history of a server with a binlog: is what it shows now the continuation of what is remembered? Pure.

Debezium compares GTIDs only: after RESET MASTER, or in a restored or replaced database, it goes on without a word as
soon as the new history has as many transactions as the old one, and every row before is skipped.

The proof of an unbroken history is a mark: a position in the binlog with the GTIDs up to there, and a digest of the
file's first events. How a server is asked for them: binlog.py, and ../mysql/binlog.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from connectors.gtids import contains, gtid_text, same_gtids
from connectors.row_mark import RowMark, row_conflict


class BinlogMark(msgspec.Struct, frozen=True):
    """A position where an event begins in a binlog file, and the GTIDs up to there (see connectors.gtids)."""

    file: str
    position: int
    gtids: str
    first_events: int = 0
    """How many of the file's first events `digest` is made of; 0: none."""
    digest: str = ""


class DatabaseHistory(msgspec.Struct, frozen=True):
    """The memory of a server.

    `server_uid`: empty before MariaDB 10.5.26, changes with its hardware; of MySQL server_uuid, which its data has.
    """

    gtids: str
    mark: BinlogMark | None = None
    last_row: RowMark | None = None
    """The row with the highest id."""
    server_id: int | None = None
    server_uid: str = ""

    @property
    def told(self) -> str:
        """The server in words, for `connectors status`."""
        return f"server {self.server_id}, GTID {gtid_text(self.gtids)}"


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
    if not contains(now.history.gtids, remembered.gtids):
        return Comparison(
            f"its binlog has gone back: it stands at GTID {gtid_text(now.history.gtids)}, after "
            f"{gtid_text(remembered.gtids)} (RESET MASTER, or a restored or replaced database)"
        )
    if remade := _remade(remembered.mark, now, own_mark=own_mark):
        return Comparison(remade)
    replaced = _other_server(remembered, now.history)
    row = row_conflict(remembered.last_row, now.row_at_id, now.history.last_row)
    if remembered.mark is not None and _at_mark(now.gtids_at_mark, remembered.mark):
        # The same binlog goes on: ids that begin again are a TRUNCATE, another server id a new setting or machine.
        return Comparison(remarks=tuple(filter(None, (replaced, row))))
    return Comparison(replaced or row)


def _remade(mark: BinlogMark | None, now: DatabaseSnapshot, *, own_mark: bool) -> str | None:
    """Why the binlog is not the one with the mark. A file that was purged says nothing."""
    if mark is None:
        return None
    if mark.file in now.binlogs:
        other = now.gtids_at_mark is not None and not _at_mark(now.gtids_at_mark, mark)
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


def _at_mark(gtids: str | None, mark: BinlogMark) -> bool:
    return gtids is not None and same_gtids(gtids, mark.gtids)


def _number(file: str) -> int:
    tail = file.rpartition(".")[2]
    return int(tail) if tail.isdigit() else 0


def _other_server(remembered: DatabaseHistory, now: DatabaseHistory) -> str | None:
    if remembered.server_uid and now.server_uid and remembered.server_uid != now.server_uid:
        return f"another server answers (its own id {now.server_uid}, before {remembered.server_uid})"
    if remembered.server_id is not None and remembered.server_id != now.server_id:
        return f"another server answers (server_id {now.server_id}, before {remembered.server_id})"
    return None
