"""`connectors watch` marks how far capture has come: "everything that was committed by then is on the topic".

Each mark is a proof, not a sign of life: the database's clock is read, then where its log ends; once the position that
Connect has stored is behind that end, the ends of the topic are read. A heartbeat proves nothing of the kind: its time
is Connect's clock, also while the connector reads what was committed hours ago.

The aggregate workers make `complete-until` of it (streams/workers/aggregate/complete_until.py). No mark is made while
the capture is held, after a restart until gaps were looked for, and while rows are known to be missing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import structlog

from connectors.capture_progress import CaptureProgress
from connectors.client import ConnectClient
from connectors.engines import engine_of
from connectors.gap_memory import read_gap_outcome
from streams.calls.capture_mark import CaptureMark
from streams.clock import UtcMillis
from streams.errors import UserError
from streams.kafka.topic_client import KafkaTopics, Outgoing
from streams.settings import Settings
from streams.topics import CAPTURE_MARKS, CEL

log = structlog.get_logger("connectors.watch")


class MarkedCapture(Protocol):
    """One PBX's capture, as marks are made of it. Every method raises UserError where it cannot look."""

    async def take(self) -> tuple[UtcMillis, Any]:
        """The database's clock, and then where it stands: whatever was committed by that clock is before that place."""
        ...

    async def passed(self, place: Any) -> bool:
        """Whether everything before that place is on the topic."""
        ...

    async def missing(self) -> str:
        """What is known to be missing on the topic, in words; empty: nothing."""
        ...

    async def publish(self, until_ms: UtcMillis) -> None:
        """Make the mark known, with the topic's ends as of now."""
        ...


class DatabaseCapture:
    """See MarkedCapture: the settings' database, Connect and brokers; use in `async with`.

    The connection to the brokers is kept from one mark to the next, as there are many PBXs: to connect costs as much as
    all that is asked. After an error it is made anew.
    """

    def __init__(self, settings: Settings, connect: ConnectClient) -> None:
        self._settings = settings
        self._progress: CaptureProgress = engine_of(settings).progress(settings, connect)
        self._kept: KafkaTopics | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()

    async def take(self) -> tuple[UtcMillis, Any]:
        """See MarkedCapture."""
        until_ms = await self._progress.clock_ms()
        return until_ms, await self._progress.mark()

    async def passed(self, place: Any) -> bool:
        """See MarkedCapture."""
        return await self._progress.passed(place)

    async def missing(self) -> str:
        """See MarkedCapture."""
        async with self._topics() as topics:
            outcome = await read_gap_outcome(self._settings, topics)
        return outcome.told if outcome is not None else ""

    async def publish(self, until_ms: UtcMillis) -> None:
        """See MarkedCapture. The ends are those behind open transactions too: the rows may be in one."""
        kafka, pbx = self._settings.kafka, self._settings.pbx.name
        async with self._topics() as topics:
            mark = CaptureMark(pbx, until_ms, await topics.ends(kafka.topic(CEL)))
            await topics.send([Outgoing(kafka.topic(CAPTURE_MARKS), pbx.encode(), mark.encode(), 0)])

    @asynccontextmanager
    async def _topics(self) -> AsyncIterator[KafkaTopics]:
        """The connection, read uncommitted: what others write in transactions has other keys than what is read here."""
        if self._kept is None:
            topics = KafkaTopics(self._settings.kafka, uncommitted=True)
            await topics.__aenter__()
            self._kept = topics
        try:
            yield self._kept
        except BaseException:
            await self._disconnect()
            raise

    async def _disconnect(self) -> None:
        topics, self._kept = self._kept, None
        if topics is not None:
            await topics.__aexit__(None, None, None)


@dataclass(slots=True)
class CaptureMarks:
    """Says when to make a mark. Call `step` often; it never waits."""

    capture: MarkedCapture
    name: str
    """The connector's, for log lines."""
    every_seconds: float = 30.0
    """Between two marks; one is waited for until Connect has stored a position behind it, once a minute by default."""
    poll_seconds: float = 5.0
    limit_seconds: float = 900.0
    """A mark that is not reached by then is given up for a newer one."""
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    _due: float = 0.0
    _said: str = ""
    _task: "asyncio.Task[None] | None" = None

    def step(self, *, allowed: bool) -> None:
        """Begin what is due. Not `allowed`: rows may be passed over, and what is under way is given up."""
        if self._task is not None and not self._task.done():
            if not allowed:
                self._task.cancel()
        elif allowed and self.clock() >= self._due:
            self._due = self.clock() + self.every_seconds
            self._task = asyncio.ensure_future(self._mark())

    async def stop(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _mark(self) -> None:
        try:
            async with asyncio.timeout(self.limit_seconds):
                until_ms, place = await self.capture.take()
                while not await self.capture.passed(place):  # noqa: ASYNC110 (Connect tells no one)
                    await asyncio.sleep(self.poll_seconds)
            if missing := await self.capture.missing():
                self._say(missing, "See: cel2crm gaps")
                return
            await self.capture.publish(until_ms)
        except UserError as error:
            self._say(error.problem, error.remedy)
        except TimeoutError:
            self._say(
                f"in {self.limit_seconds:.0f} s capture did not get to where the database stood",
                "See why: cel2crm connectors status",
            )
        except Exception as error:  # a fault of ours must not end the watching
            self._say(f"{type(error).__name__}: {error}", "", exc_info=True)
        else:
            if self._said:
                log.info("calls are complete until later times again", connector=self.name)
            self._said = ""

    def _say(self, reason: str, remedy: str, **facts: object) -> None:
        """One line for each reason, not one for each mark."""
        if reason != self._said:
            self._said = reason
            log.warning(
                "until when calls are complete does not move",
                connector=self.name,
                reason=reason,
                remedy=remedy,
                **facts,
            )
