"""How far the connector has come in a server's binlog, by the position that Connect has stored.

A stored position is a fact, not a sign of life: Connect stores one only when the brokers have every record before it.
Heartbeats move it on while the table is idle. It is stored once in `offset.flush.interval.ms` of Connect (a minute).
"""

import asyncio
from contextlib import AbstractContextManager

from pymysql.cursors import DictCursor

from connectors.client import ConnectClient
from connectors.gtids import contains, gtid_ranges
from connectors.mariadb.binlog import BinlogQueries
from connectors.mariadb.checks import connected
from connectors.mariadb.continuity import decode_position
from connectors.mariadb.history import BinlogMark
from connectors.stored_position import StoredPosition
from streams.clock import UtcMillis
from streams.settings import Settings, secret


class BinlogProgress(StoredPosition):
    """See connectors.capture_progress.CaptureProgress."""

    def __init__(self, settings: Settings, connect: ConnectClient, queries: BinlogQueries) -> None:
        super().__init__(settings, connect)
        self._queries = queries

    async def clock_ms(self) -> UtcMillis:
        """The server's clock. Raises UserError: no database."""
        return await asyncio.to_thread(self._clock_ms)

    async def mark(self) -> BinlogMark:
        """The end of the binlog now. Raises UserError: no database."""
        return await asyncio.to_thread(self._end)

    async def passed(self, mark: BinlogMark) -> bool:
        """Whether the stored position is at the mark or behind it; False where Connect does not answer."""
        offset = await self.stored()
        position = None if offset is None else decode_position(offset)
        return position is not None and has_passed(position, mark)

    def _clock_ms(self) -> UtcMillis:
        with self._connected() as cursor:
            # Not by way of NOW(): of an hour that comes twice it does not say which.
            cursor.execute("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) AS micros")
            return int((cursor.fetchone() or {})["micros"]) // 1000

    def _connected(self) -> AbstractContextManager[DictCursor]:
        database = self._settings.database
        password = secret(database.password, database.password_file, "database.password")
        return connected(database, password)

    def _end(self) -> BinlogMark:
        with self._connected() as cursor:
            return self._queries.end(cursor)


def has_passed(position: BinlogMark, mark: BinlogMark) -> bool:
    """Whether everything up to the mark is before the position: by transaction numbers, or by file and place in it."""
    if gtid_ranges(mark.gtids) and contains(position.gtids, mark.gtids):
        return True
    return (_number(position.file), position.position) >= (_number(mark.file), mark.position)


def _number(file: str) -> int:
    tail = file.rpartition(".")[2]
    return int(tail) if tail.isdigit() else 0
