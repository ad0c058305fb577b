"""How far the connector has come in a PostgreSQL server's WAL, by the position that Connect has stored.

A stored position is a fact, not a sign of life: Connect stores one only when the brokers have every record before it.
Heartbeats move it on while no call comes. It is stored once in `offset.flush.interval.ms` of Connect (a minute).
"""

import asyncio
from typing import Any

from connectors.postgresql.connection import connected
from connectors.postgresql.history import WalPosition, decode_position
from connectors.stored_position import StoredPosition
from streams.clock import UtcMillis
from streams.settings import secret

_CLOCK = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms"
_MARK = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS lsn"


class SlotProgress(StoredPosition):
    """See connectors.capture_progress.CaptureProgress."""

    async def clock_ms(self) -> UtcMillis:
        """The server's clock. Raises UserError: no database."""
        return int((await asyncio.to_thread(self._ask, _CLOCK))["ms"])

    async def mark(self) -> WalPosition:
        """The end of the WAL now. Raises UserError: no database."""
        return WalPosition(int((await asyncio.to_thread(self._ask, _MARK))["lsn"]))

    async def passed(self, mark: WalPosition) -> bool:
        """Whether the stored position is at the mark or behind it; False where Connect does not answer."""
        offset = await self.stored()
        position = None if offset is None else decode_position(offset)
        return position is not None and position.lsn >= mark.lsn

    def _ask(self, question: str) -> dict[str, Any]:
        database = self._settings.database
        with connected(database, secret(database.password, database.password_file, "database.password")) as run:
            return run(question, [])[0]
