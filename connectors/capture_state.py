"""The memory of the capture: which database it follows, how far, and whether it is held until a person decides.

One record a PBX on the compacted topic `capture-state`, JSON, key: name of the PBX. `connectors apply`,
`connectors watch` and `connectors start-afresh` write it, compared and swapped: each writer fences the topic's
transactional id of this PBX, reads, and writes only where nobody wrote in between.

An empty memory is never a silent fresh start: while the connector has a position, or the topic rows of this PBX, these
are compared with the database first (<engine>/continuity.py), and it is told that the database is taken anew.

What is remembered of a database, and what a position in its log is, are the engine's own: see engines.py.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from aiokafka.errors import KafkaError

from connectors.failures import START_AFRESH
from connectors.row_mark import RowMark
from streams.errors import UserError
from streams.kafka.client import unreachable
from streams.kafka.fenced_log import Fenced, FencedLog
from streams.kafka.topic_client import Topics
from streams.settings import Settings
from streams.topics import CAPTURE_STATE

FROM_THE_FIRST_ROW = "0"
"""`cel2crm backfill --since` with an id before any row: nothing was known as captured."""


class Hold(msgspec.Struct, frozen=True):
    """Why the capture is stopped until a person decides: `cel2crm connectors start-afresh` ends it."""

    reason: str
    backfill_since: str
    """The value for `cel2crm backfill --since` that brings the rows that may be missing: PBX's own clock, or an id."""
    since_ms: int
    """When it was found (Unix milliseconds)."""
    starting_afresh: bool = False
    """`start-afresh` is under way, or did not finish: the connector runs, but must not be counted on yet."""

    @property
    def missing(self) -> str:
        """Which rows may be missing, in a sentence."""
        when = "" if self.backfill_since == FROM_THE_FIRST_ROW else f" written since {self.backfill_since}"
        return f"Rows{when} may be missing on the topic."

    @property
    def remedy(self) -> str:
        """The command that goes on."""
        return START_AFRESH


class History(Protocol):
    """What is remembered of a database, whatever the engine."""

    @property
    def last_row(self) -> RowMark | None:
        """The row with the highest id."""
        ...

    @property
    def told(self) -> str:
        """The server in words."""
        ...


DatabaseT = TypeVar("DatabaseT", bound=History)
PositionT = TypeVar("PositionT")


class CaptureState(msgspec.Struct, Generic[DatabaseT, PositionT], frozen=True):
    """The memory of one PBX's database and of the connector that follows it."""

    database: DatabaseT
    captured: RowMark | None = None
    """The last row on the topic, at the last look that found nothing wrong."""
    position: PositionT | None = None
    """Where the connector stood; None: it has not stored a position yet."""
    began_at: PositionT | None = None
    """Where the connector last began without a position, where the engine has a record of it."""
    schema_history_end: int = 0
    """Records on Debezium's schema history topic."""
    hold: Hold | None = None


AnyState = CaptureState[Any, Any]


class CaptureStateStore:
    """The record of one PBX. Every method raises UserError: no broker, no topic, a record that cannot be read.

    `kind`: the type of its state, as the engine has it; None: only the hold and the rows are looked at.
    """

    def __init__(self, settings: Settings, topics: Topics, kind: Any = None) -> None:
        self._kind = kind or CaptureState[_Unread, Any]
        self._kafka = settings.kafka
        self._topic = settings.kafka.topic(CAPTURE_STATE)
        self._key = settings.pbx.name.encode()
        self._topics = topics

    async def read(self) -> AnyState | None:
        """None: nothing is remembered."""
        value = await self._read_value()
        if value is None:
            return None
        try:
            state: AnyState = msgspec.json.decode(value, type=self._kind)
        except msgspec.MsgspecError as error:
            raise UserError(
                f"the record of PBX {self._key.decode()} on {self._topic} cannot be read: {error}", START_AFRESH
            ) from None
        return state

    async def change(self, expected: AnyState | None, state: AnyState) -> bool:
        """Write `state` where `expected` still stands there; False: another process has written meanwhile."""

        async def unchanged() -> bool:
            return await self.read() == expected

        return await self._write(state, unchanged)

    async def overwrite(self, state: AnyState) -> None:
        """Write `state`, whatever stands there, readable or not."""

        async def always() -> bool:
            return True

        if not await self._write(state, always):
            raise UserError(f"{self._topic} cannot be written", "Another process writes it at the moment: try again.")

    async def _write(self, state: AnyState, allowed: Callable[[], Awaitable[bool]]) -> bool:
        transactional_id = f"{self._topic}.{self._key.decode()}"
        log = FencedLog(self._kafka, self._topic, 0, transactional_id, timeout_seconds=15.0, unsettled=_unsettled)
        try:
            await log.fence()
            if not await allowed():
                return False
            return await log.write([(self._key, msgspec.json.encode(state))]) is not None
        except Fenced:
            return False
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None
        finally:
            await log.close()

    async def _read_value(self) -> bytes | None:
        value = None
        async for record in self._topics.read(self._topic):
            if record.key == self._key:
                value = record.value
        return value


class _Unread(msgspec.Struct, frozen=True):
    """A database of which only the last row is asked for."""

    last_row: RowMark | None = None
    told: str = ""


def _unsettled(what: str, error: BaseException) -> None:
    raise TimeoutError(what) from error
