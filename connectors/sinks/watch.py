"""`cel2crm connectors watch` for sinks: restarts failed parts of a sink's connector, which Connect itself never does.

A sink loses nothing while it is away: it goes on from the last record that it confirmed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from connectors.client import PAUSED, STOPPED, ConnectClient, ConnectorStatus, ConnectUnreachable
from connectors.sinks.connected import connectors_of, sink_connect_client
from connectors.watch import Backoff, failed_parts
from streams.errors import UserError
from streams.settings import Settings

log = structlog.get_logger("connectors.watch")


@dataclass(slots=True)
class SinkWatcher:
    """Watches one connector of a sink. The clock (monotonic seconds) and the sleep are given, for tests."""

    connect: ConnectClient
    name: str
    remedy: str
    """What brings the connector back where it is missing or was stopped."""
    backoff: Backoff = field(default_factory=Backoff)
    poll_seconds: float = 2.0
    missing_seconds: float = 60.0
    """A 404 is believed after so long: Connect answers so for some seconds after its start."""
    repeat_seconds: float = 60.0
    """Between two lines about something that only a person can mend."""
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _restarts: int = 0
    _restarted_at: float = 0.0
    _missing_since: float | None = None
    _said: str = ""
    _said_at: float = 0.0

    async def run(self) -> NoReturn:
        """Watch until cancelled. A Connect that is away is waited for; Watcher tells of it."""
        while True:
            try:
                await self._look()
            except ConnectUnreachable:
                self._missing_since = None
            except UserError as error:
                self._missing_since = None
                self._say("connect answers with an error", reason=error.problem)
            await self.sleep(self.poll_seconds)

    async def _look(self) -> None:
        status = await self.connect.status(self.name)
        if status is None:
            await self._handle_missing()
            return
        self._missing_since = None
        if status.failures:
            await self._restart(status)
        elif status.state in (STOPPED, PAUSED):
            self._say(f"sink is {status.state}", remedy=self.remedy)
        elif status.running:
            self._handle_running()

    async def _handle_missing(self) -> None:
        now = self.clock()
        if self.name in await self.connect.names():
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since >= self.missing_seconds:
            self._say("sink missing", reason="the connector was deleted, or never applied", remedy=self.remedy)

    async def _restart(self, status: ConnectorStatus) -> None:
        wait = self.backoff.wait(self._restarts)
        for part, failure in failed_parts(status):
            log.error(
                "sink failed", connector=self.name, part=part, reason=failure.reason, remedy=failure.remedy, wait=wait
            )
        await self.sleep(wait)
        self._restarts += 1
        self._restarted_at = self.clock()
        self._said = ""
        await self.connect.restart(self.name)
        log.info("sink restarted", connector=self.name, restarts=self._restarts)

    def _handle_running(self) -> None:
        if self._said != "running":
            self._said = "running"
            log.info("sink runs", connector=self.name)
        if self.clock() - self._restarted_at > self.backoff.forgotten_after:
            self._restarts = 0

    def _say(self, event: str, **facts: object) -> None:
        """An error that stays until a person acts: one line each `repeat_seconds`."""
        now = self.clock()
        if event != self._said or now - self._said_at >= self.repeat_seconds:
            self._said, self._said_at = event, now
            log.error(event, connector=self.name, **facts)


async def watch_sinks(settings: Settings) -> None:
    """Watch every connector of every sink until cancelled; returns at once where there is no sink.

    Raises SettingsError: a sink's settings cannot be used.
    """
    wanted = {
        connector.name: f"Run: cel2crm connectors apply --sink {sink.called}"
        for sink in settings.sinks
        for connector in connectors_of(settings, sink)
    }
    if wanted:
        async with sink_connect_client(settings) as connect:
            await asyncio.gather(*(SinkWatcher(connect, name, remedy).run() for name, remedy in wanted.items()))
