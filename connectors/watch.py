"""`cel2crm connectors watch`: restarts what has failed of a connector, which Connect itself never does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from connectors.client import ConnectClient, ConnectorStatus, ConnectUnreachable
from connectors.failures import Failure
from streams.errors import UserError

log = structlog.get_logger("connectors.watch")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart, in seconds: doubled each time, forgotten after a good while of running."""

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
    """How many heartbeats there have been; may raise UserError when no broker answers."""
    backoff: Backoff = Backoff()
    poll_seconds: float = 2.0
    silence_seconds: float = 60.0
    """A task that says RUNNING without a heartbeat for so long is restarted: then it says what is wrong.

    To be well above the heartbeat's interval (5 s; 8 s were seen) and a database's restart (15 s)."""
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _restarts: int = 0
    _restarted_at: float = 0.0
    _beats: int = -1
    _beat_at: float = 0.0
    _said: str = ""

    async def run(self) -> None:
        """Watch until cancelled; ends by itself only when the connector is deleted meanwhile.

        Raises UserError when there is no such connector at the start. A Connect or broker that is away is waited for.
        """
        known = False
        while True:
            try:
                status = await self.connect.status(self.name)
            except ConnectUnreachable as error:
                self._say("unreachable", "connect does not answer", reason=error.problem)
            except UserError as error:
                self._say("refused", "connect answers with an error", reason=error.problem)
            else:
                if status is None and not known:
                    raise UserError(f"there is no connector {self.name}", "Run: cel2crm connectors apply")
                if status is None:
                    log.warning("the connector is gone, nothing is left to watch", connector=self.name)
                    return
                known = True
                await self._look(status)
            await self.sleep(self.poll_seconds)

    async def _look(self, status: ConnectorStatus) -> None:
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

    def _say(self, state: str, event: str, **facts: object) -> None:
        """One line for each change of state, not one for each look."""
        if state != self._said:
            self._said = state
            (log.info if state == "running" else log.warning)(event, connector=self.name, **facts)


def failed_parts(status: ConnectorStatus) -> list[tuple[str, Failure]]:
    """What has failed, the connector itself or `task N`, and why."""
    own = [("connector", status.failure)] if status.failure else []
    return own + [(f"task {task.number}", task.failure) for task in status.tasks if task.failure]
