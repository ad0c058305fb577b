"""What Connect has stored of a connector: its position, and whether it works. The same whatever the database."""

from typing import Any

from connectors.client import ConnectClient, ConnectUnreachable
from connectors.source import connector_name
from streams.settings import Settings


class StoredPosition:
    """The part of connectors.capture_progress.CaptureProgress that asks Connect alone."""

    def __init__(self, settings: Settings, connect: ConnectClient) -> None:
        self._settings = settings
        self._connect = connect

    async def stored(self) -> dict[str, Any] | None:
        """The stored position as Debezium writes it; None: there is none, or Connect does not answer."""
        try:
            return await self._connect.offset(connector_name(self._settings))
        except ConnectUnreachable:
            return None

    async def running(self) -> bool:
        """Whether Connect says that the connector and its tasks run; False where it does not answer."""
        try:
            status = await self._connect.status(connector_name(self._settings))
        except ConnectUnreachable:
            return False
        return status is not None and status.running
