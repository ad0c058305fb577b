"""Capture from PostgreSQL, as `connectors.engines` has it."""

from typing import Any

from connectors.assessment import Assessment
from connectors.capture_progress import CaptureProgress
from connectors.client import ConnectClient, ConnectUnreachable
from connectors.failures import KnownFailure
from connectors.postgresql.checks import check_database, slot_name
from connectors.postgresql.continuity import Evidence, WalState, assess
from connectors.postgresql.failures import POSTGRESQL
from connectors.postgresql.history import WalPosition, decode_position, read_snapshot
from connectors.postgresql.slot_progress import SlotProgress
from connectors.row_mark import RowMark
from connectors.source import connector_name
from streams.kafka.topic_client import Topics
from streams.settings import Settings


class PostgreSqlCapture:
    """See connectors.engines.CaptureEngine."""

    state_type: Any = WalState
    known_failures: tuple[KnownFailure, ...] = POSTGRESQL

    async def check(self, settings: Settings) -> list[str]:
        """See connectors.postgresql.checks.check_database."""
        return await check_database(settings)

    async def assess(
        self,
        settings: Settings,
        connect: ConnectClient,
        topics: Topics,
        state: WalState | None,
        captured: RowMark | None,
    ) -> Assessment:
        """Compare the memory with server, slot, position and topic."""
        database = await read_snapshot(settings, state.database if state else None)
        position, known = await _position(settings, connect)
        return assess(state, Evidence(database, position, known, captured))

    def progress(self, settings: Settings, connect: ConnectClient) -> CaptureProgress:
        """By the WAL's positions."""
        return SlotProgress(settings, connect)

    def left_behind(self, settings: Settings) -> str | None:
        """The slot, for which the server keeps its WAL until the disk is full."""
        name = slot_name(settings)
        return (
            f"replication slot {name} is still there, and the server keeps its WAL for it: without the capture, remove "
            f"it by SELECT pg_drop_replication_slot('{name}')"
        )


async def _position(settings: Settings, connect: ConnectClient) -> tuple[WalPosition | None, bool]:
    try:
        offset = await connect.offset(connector_name(settings))
    except ConnectUnreachable:
        return None, False
    return (None, False) if offset is None else (decode_position(offset), True)
