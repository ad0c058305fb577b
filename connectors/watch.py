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
    backoff: Backoff = Backoff()
    poll_seconds: float = 2.0
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _restarts: int = 0
    _last_restart: float = 0.0
    _said: str = ""

    async def run(self) -> None:
        """Watch until cancelled; ends by itself only when the connector is deleted meanwhile.

        Raises UserError when there is no such connector at the start. A Connect that does not answer is waited for.
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
        if not status.failures:
            if status.running:
                self._say("running", "connector runs", tasks=len(status.tasks))
                if self.clock() - self._last_restart > self.backoff.forgotten_after:
                    self._restarts = 0
            return
        wait = self.backoff.wait(self._restarts)
        for part, failure in failed_parts(status):
            log.error(
                "failed", connector=self.name, part=part, reason=failure.reason, remedy=failure.remedy, restart_in=wait
            )
        await self.sleep(wait)
        self._restarts += 1
        self._last_restart = self.clock()
        self._said = ""
        try:
            await self.connect.restart(self.name)
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
