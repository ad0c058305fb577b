"""`cel2crm connectors watch`: restarts failed parts of a connector, which Connect itself never does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from connectors.client import ConnectClient, ConnectorStatus, ConnectUnreachable
from connectors.failures import Failure
from streams.errors import UserError

log = structlog.get_logger("connectors.watch")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits before restarts, in seconds: doubled each time, back to the first after a long while of running."""

    first: float = 1.0
    longest: float = 300.0
    forgotten_after: float = 600.0

    def wait(self, restarts: int) -> float:
        """The wait before the next restart, after so many in a row."""
        return float(min(self.longest, self.first * 2 ** min(restarts, 30)))


@dataclass(slots=True)
class Watcher:
    """Watches one connector. The clock (monotonic seconds) and the sleep are given, so that tests need not wait."""

    connect: ConnectClient
    name: str
    heartbeats: Callable[[], Awaitable[int]]
    """Number of heartbeats so far; raises UserError when no broker answers."""
    backoff: Backoff = Backoff()
    poll_seconds: float = 2.0
    silence_seconds: float = 60.0
    """A task that says RUNNING without a heartbeat for so long is restarted: then it says what is wrong.

    To be well above the heartbeat's interval (5 s; 8 s were seen) and a database's restart (15 s)."""
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    missing_seconds: float = 60.0
    """A 404 is believed after so long."""
    repeat_seconds: float = 60.0
    """Between two lines about something that only a person can mend."""
    _missing_since: float | None = None
    _repeated_at: float = 0.0
    _restarts: int = 0
    _restarted_at: float = 0.0
    _beats: int = -1
    _beat_at: float = 0.0
    _said: str = ""

    async def run(self) -> NoReturn:
        """Watch until cancelled. A Connect, connector or broker that is away is waited for, loudly.

        Connect answers 404 for some seconds after its start, before it has read its own topics. So a connector counts
        as missing only after `missing_seconds` of 404 while Connect lists its connectors without it.
        """
        while True:
            try:
                status = await self.connect.status(self.name)
                if status is None:
                    await self._handle_missing()
                else:
                    self._missing_since = None
                    await self._handle_status(status)
            except ConnectUnreachable as error:
                self._missing_since = None
                self._say("unreachable", "connect does not answer", reason=error.problem)
            except UserError as error:
                self._missing_since = None
                self._say("refused", "connect answers with an error", reason=error.problem)
            await self.sleep(self.poll_seconds)

    async def _handle_missing(self) -> None:
        now = self.clock()
        if self.name in await self.connect.names():
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
            self._say("missing", "connect does not know the connector, it may still be starting")
        elif now - self._missing_since >= self.missing_seconds:
            self._repeat(
                "connector missing",
                reason="the connector was deleted, or never applied: nothing is captured",
                remedy="Run: cel2crm connectors apply. A deleted connector's position is kept: it goes on from there.",
            )

    async def _handle_status(self, status: ConnectorStatus) -> None:
        if status.failures:
            wait = self.backoff.wait(self._restarts)
            for part, failure in failed_parts(status):
                log.error(
                    "failed", connector=self.name, part=part, reason=failure.reason, remedy=failure.remedy, wait=wait
                )
            await self._restart(wait, only_failed=True)
        elif status.running:
            silence = await self._silence()
            if silence > self.silence_seconds:
                wait = self.backoff.wait(self._restarts)
                log.error("no sign of life from the database", connector=self.name, seconds=round(silence), wait=wait)
                await self._restart(wait, only_failed=False)
                return
            self._say("running", "connector runs", tasks=len(status.tasks))
            if self.clock() - self._restarted_at > self.backoff.forgotten_after:
                self._restarts = 0

    async def _silence(self) -> float:
        """Seconds without a heartbeat, as far as it was watched; 0 where the broker cannot be asked."""
        try:
            beats = await self.heartbeats()
        except UserError as error:
            log.warning("heartbeats cannot be seen", connector=self.name, reason=error.problem)
            beats = self._beats - 1
        if beats != self._beats:
            self._beats, self._beat_at = beats, self.clock()
        return self.clock() - self._beat_at

    async def _restart(self, wait: float, *, only_failed: bool) -> None:
        await self.sleep(wait)
        self._restarts += 1
        self._restarted_at = self._beat_at = self.clock()
        self._said = ""
        try:
            await self.connect.restart(self.name, only_failed=only_failed)
        except UserError as error:
            # A Connect that went away in between: the next round sees what is left to do.
            log.warning("restart did not go through", connector=self.name, reason=error.problem)
        else:
            log.info("restarted", connector=self.name, restarts=self._restarts)

    def _repeat(self, event: str, **facts: object) -> None:
        """An error that stays until a person acts: one line each `repeat_seconds`."""
        now = self.clock()
        if event != self._said or now - self._repeated_at >= self.repeat_seconds:
            self._said, self._repeated_at = event, now
            log.error(event, connector=self.name, **facts)

    def _say(self, state: str, event: str, **facts: object) -> None:
        """One line for each change of state, not one for each look."""
        if state != self._said:
            self._said = state
            (log.info if state == "running" else log.warning)(event, connector=self.name, **facts)


def failed_parts(status: ConnectorStatus) -> list[tuple[str, Failure]]:
    """Failed parts (`connector` or `task N`), each with its failure."""
    own = [("connector", status.failure)] if status.failure else []
    return own + [(f"task {task.number}", task.failure) for task in status.tasks if task.failure]
