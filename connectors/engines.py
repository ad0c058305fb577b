"""The databases that can be captured: what each does in its own way, behind one interface."""

from typing import Any, Protocol

from connectors.assessment import Assessment
from connectors.capture_progress import CaptureProgress
from connectors.client import ConnectClient
from connectors.failures import KnownFailure
from connectors.mariadb.engine import MariaDbCapture
from connectors.mysql.engine import MySqlCapture
from connectors.postgresql.engine import PostgreSqlCapture
from connectors.row_mark import RowMark
from streams.kafka.topic_client import Topics
from streams.settings import Settings


class CaptureEngine(Protocol):
    """Capture from one kind of database."""

    @property
    def state_type(self) -> Any:
        """The type of what is remembered of it, a connectors.capture_state.CaptureState."""
        ...

    @property
    def known_failures(self) -> tuple[KnownFailure, ...]:
        """What its connector is known to fail with."""
        ...

    async def check(self, settings: Settings) -> list[str]:
        """Read the database as the capture user, and refuse what would lose rows. Returns warnings, a line each.

        Raises UserError: no database, a refused password, something missing, with the remedy.
        """
        ...

    async def assess(
        self, settings: Settings, connect: ConnectClient, topics: Topics, state: Any, captured: RowMark | None
    ) -> Assessment:
        """Compare what is remembered (None: nothing) with what there is; `captured`: the PBX's last row on the topic.

        Raises UserError where it cannot look.
        """
        ...

    def progress(self, settings: Settings, connect: ConnectClient) -> CaptureProgress:
        """How far the connector has come."""
        ...

    def left_behind(self, settings: Settings) -> str | None:
        """What stays on the server when the connector is deleted for good, and how it is removed; None: nothing."""
        ...


ENGINES: dict[str, CaptureEngine] = {
    "mariadb": MariaDbCapture(),
    "mysql": MySqlCapture(),
    "postgresql": PostgreSqlCapture(),
}


def engine_of(settings: Settings) -> CaptureEngine:
    """The engine of the settings' database."""
    return ENGINES[settings.database.engine]
