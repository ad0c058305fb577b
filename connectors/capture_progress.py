"""How far a capture has come, whatever the database: for the second look of `cel2crm gaps` and for marks of capture."""

from typing import Any, Protocol

from streams.clock import UtcMillis


class CaptureProgress(Protocol):
    """A mark is the engine's own. Raises UserError where the database does not answer."""

    async def clock_ms(self) -> UtcMillis:
        """The database's clock: what it has committed by then is before a mark that is asked for afterwards."""
        ...

    async def mark(self) -> Any:
        """Where the database stands now: every row that was read before was committed before."""
        ...

    async def passed(self, mark: Any) -> bool:
        """Whether everything committed before the mark is on the topic, if it is ever to be; False: nobody knows."""
        ...

    async def running(self) -> bool:
        """Whether the connector works, so that waiting for it has a point."""
        ...
