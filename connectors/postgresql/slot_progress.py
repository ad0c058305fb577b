"""How far the connector has come in a PostgreSQL server's WAL, by the position that Connect has stored.

A stored position is a fact, not a sign of life: Connect stores one only when the brokers have every record before it.
Heartbeats move it on while no call comes. It is stored once in `offset.flush.interval.ms` of Connect (a minute).
"""

import asyncio
from typing import Any

from connectors.client import ConnectClient, ConnectUnreachable
from connectors.postgresql.connection import connected
from connectors.postgresql.history import WalPosition, decode_position
from connectors.source import connector_name
from streams.clock import UtcMillis
from streams.settings import Settings, secret

_CLOCK = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms"
_MARK = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS lsn"


class SlotProgress:
    """See connectors.capture_progress.CaptureProgress."""

    def __init__(self, settings: Settings, connect: ConnectClient) -> None:
        self._settings = settings
        self._connect = connect

    async def clock_ms(self) -> UtcMillis:
        """The server's clock. Raises UserError: no database."""
        return int((await asyncio.to_thread(self._ask, _CLOCK))["ms"])

    async def mark(self) -> WalPosition:
        """The end of the WAL now. Raises UserError: no database."""
        return WalPosition(int((await asyncio.to_thread(self._ask, _MARK))["lsn"]))

    async def passed(self, mark: WalPosition) -> bool:
        """Whether the stored position is at the mark or behind it; False where Connect does not answer."""
        try:
            offset = await self._connect.offset(connector_name(self._settings))
        except ConnectUnreachable:
            return False
        position = None if offset is None else decode_position(offset)
        return position is not None and position.lsn >= mark.lsn

    async def running(self) -> bool:
        """Whether Connect says that the connector and its tasks run; False where it does not answer."""
        try:
            status = await self._connect.status(connector_name(self._settings))
        except ConnectUnreachable:
            return False
        return status is not None and status.running

    def _ask(self, question: str) -> dict[str, Any]:
        database = self._settings.database
        with connected(database, secret(database.password, database.password_file, "database.password")) as run:
            return run(question, [])[0]
