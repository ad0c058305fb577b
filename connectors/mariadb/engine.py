"""Capture from MariaDB, as `connectors.engines` has it."""

from typing import Any

from connectors.assessment import Assessment
from connectors.capture_progress import CaptureProgress
from connectors.client import ConnectClient, ConnectUnreachable
from connectors.failures import KnownFailure, known_failures
from connectors.mariadb.binlog import BinlogQueries, MariaDbQueries, read_snapshot
from connectors.mariadb.binlog_progress import BinlogProgress
from connectors.mariadb.checks import check_database
from connectors.mariadb.continuity import BinlogState, Evidence, assess, decode_position, presumed
from connectors.mariadb.history import BinlogMark
from connectors.mariadb.schema_history import read_schema_history
from connectors.row_mark import RowMark
from connectors.source import connector_name, topics_of
from streams.kafka.topic_client import Topics
from streams.settings import Settings


class MariaDbCapture:
    """See connectors.engines.CaptureEngine."""

    state_type: Any = BinlogState
    known_failures: tuple[KnownFailure, ...] = known_failures("mariadb")
    queries: BinlogQueries = MariaDbQueries()

    async def check(self, settings: Settings) -> list[str]:
        """See connectors.mariadb.checks.check_database."""
        return await check_database(settings.database)

    async def assess(
        self,
        settings: Settings,
        connect: ConnectClient,
        topics: Topics,
        state: BinlogState | None,
        captured: RowMark | None,
    ) -> Assessment:
        """Compare the memory with binlog, position, topic and schema history."""
        position, known = await _position(settings, connect)
        remembered = state.database if state else presumed(position, captured)
        database = await read_snapshot(settings.database, remembered, self.queries)
        schema_history = await read_schema_history(
            topics, topics_of(settings)["topics.schema-history"], state.schema_history_end if state else 0
        )
        evidence = Evidence(database, position, known, captured, schema_history.end, schema_history.starts)
        return assess(state, evidence)

    def progress(self, settings: Settings, connect: ConnectClient) -> CaptureProgress:
        """By the binlog's GTIDs."""
        return BinlogProgress(settings, connect, self.queries)

    def left_behind(self, settings: Settings) -> str | None:
        """Nothing stays on the server when the connector is deleted."""
        return None


async def _position(settings: Settings, connect: ConnectClient) -> tuple[BinlogMark | None, bool]:
    try:
        offset = await connect.offset(connector_name(settings))
    except ConnectUnreachable:
        return None, False
    return (None, False) if offset is None else (decode_position(offset), True)
