"""`cel2crm connectors watch`: restarts failed parts of a connector, which Connect itself never does.

Nothing is restarted away that says "rows are missing": the capture is held then (guard.py), stays stopped, and is told
every minute until a person gives `cel2crm connectors start-afresh`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import structlog

from connectors.capture_marks import CaptureMarks
from connectors.capture_state import Hold
from connectors.client import PAUSED, STOPPED, ConnectClient, ConnectorStatus, ConnectUnreachable
from connectors.failures import Failure
from connectors.gap_watch import GapWatch
from connectors.guard import Verdict
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


class Guard(Protocol):
    """See guard.CaptureGuard. Every method raises UserError where it cannot look."""

    async def check(self) -> Verdict:
        """Compare the database with the memory, and remember the outcome."""
        ...

    async def hold_for(self, failure: Failure) -> Hold:
        """Hold the capture for this failure."""
        ...

    async def current_hold(self) -> Hold | None:
        """The hold that stands in the memory now."""
        ...


@dataclass(slots=True)
class Watcher:
    """Watches one connector. The clock (monotonic seconds) and the sleep are given, so that tests need not wait."""

    connect: ConnectClient
    name: str
    heartbeats: Callable[[], Awaitable[int]]
    """Number of heartbeats so far; raises UserError when no broker answers."""
    guard: Guard
    backoff: Backoff = Backoff()
    gaps: GapWatch | None = None
    marks: CaptureMarks | None = None
    poll_seconds: float = 2.0
    silence_seconds: float = 60.0
    """A task that says RUNNING without a heartbeat for so long is restarted: then it says what is wrong.

    To be well above the heartbeat's interval (5 s; 8 s were seen) and a database's restart (15 s)."""
    beats_seconds: float = 10.0
    """Between two looks at the heartbeats, of which one comes every 5 s."""
    check_seconds: float = 60.0
    """Between two looks at the database."""
    held_check_seconds: float = 5.0
    """Between two looks at the memory while the capture is held."""
    missing_seconds: float = 60.0
    """A 404 is believed after so long."""
    repeat_seconds: float = 60.0
    """Between two lines about something that only a person can mend."""
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _hold: Hold | None = None
    _checked_at: float | None = None
    _missing_since: float | None = None
    _restarts: int = 0
    _restarted_at: float = 0.0
    _beats: int = -1
    _beat_at: float = 0.0
    _beats_looked_at: float | None = None
    _said: str = ""
    _running: bool | None = None
    """At the look under way, and at the one before: whether the connector runs; None: there was none before."""
    _ran: bool | None = None
    _repeated_at: dict[str, float] = field(default_factory=dict)

    async def run(self) -> NoReturn:
        """Watch until cancelled. A Connect, connector, database or broker that is away is waited for, loudly.

        Connect answers 404 for some seconds after its start, before it has read its own topics. So a connector counts
        as missing only after `missing_seconds` of 404 while Connect lists its connectors without it.
        """
        try:
            await self._watch()
        finally:
            for each in (self.gaps, self.marks):
                if each is not None:
                    await each.stop()

    async def _watch(self) -> NoReturn:
        while True:
            self._ran, self._running = self._running, False
            await self._check_when_due()
            if hold := self._hold:
                self._repeat("capture is held", reason=hold.reason, missing=hold.missing, remedy=hold.remedy)
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
            self._look_for_gaps()
            if self.marks is not None:
                doubtful = self._hold is not None or (self.gaps is not None and self.gaps.unchecked)
                self.marks.step(allowed=bool(self._running) and not doubtful)
            await self.sleep(self.poll_seconds)

    def _look_for_gaps(self) -> None:
        if self.gaps is None:
            return
        if self._running and self._ran is False:
            self.gaps.restarted()  # by whomever
        self.gaps.step(running=bool(self._running))

    async def _check_when_due(self) -> None:
        interval = self.held_check_seconds if self._hold else self.check_seconds
        if self._checked_at is None or self.clock() - self._checked_at >= interval:
            await self._check()

    async def _check(self) -> bool:
        """Look at the database. False: it cannot be compared now, so that nothing may be restarted."""
        self._checked_at = self.clock()
        try:
            verdict = await self.guard.check()
        except UserError as error:
            self._repeat(
                "database cannot be compared", reason=error.problem, remedy=error.remedy, effect="restarts wait for it"
            )
            return False
        if self._hold and not verdict.hold:
            log.info("capture is no longer held", connector=self.name)
        self._hold = verdict.hold
        for remark in verdict.remarks:
            log.warning("database", connector=self.name, remark=remark)
        for warning in verdict.warnings:
            self._repeat(warning.problem, remedy=warning.remedy)
        return True

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
        if self._hold:
            await self._stay_held(self._hold, status)
        elif status.failures:
            await self._handle_failures(status)
        elif status.running:
            await self._handle_running(status)
        elif status.state in (STOPPED, PAUSED):
            self._repeat(
                f"connector is {status.state}", remedy="Run: cel2crm connectors apply. It resumes the connector."
            )

    async def _stay_held(self, hold: Hold, status: ConnectorStatus) -> None:
        if hold.starting_afresh or status.state == STOPPED:
            return
        # A person may have ended the hold since the last look.
        self._hold = await self.guard.current_hold()
        if self._hold and not self._hold.starting_afresh:
            await self.connect.stop(self.name)
            log.error("connector stopped", connector=self.name, reason=hold.reason)

    async def _handle_failures(self, status: ConnectorStatus) -> None:
        wait = self.backoff.wait(self._restarts)
        for part, failure in failed_parts(status):
            log.error("failed", connector=self.name, part=part, reason=failure.reason, remedy=failure.remedy, wait=wait)
        if severe := next((failure for failure in status.failures if failure.needs_person), None):
            await self._hold_for(severe)
            if self._hold:
                await self._stay_held(self._hold, status)
                return
            await self.sleep(wait)
            self._restarts += 1  # no restart: the same wait before the next try to remember it
        else:
            await self._restart(wait, only_failed=True)

    async def _hold_for(self, failure: Failure) -> None:
        try:
            self._hold = await self.guard.hold_for(failure)
        except UserError as error:
            self._repeat("a hold cannot be remembered", reason=error.problem, remedy=error.remedy)

    async def _handle_running(self, status: ConnectorStatus) -> None:
        silence = await self._silence()
        if silence > self.silence_seconds:
            wait = self.backoff.wait(self._restarts)
            log.error("no sign of life from the database", connector=self.name, seconds=round(silence), wait=wait)
            await self._restart(wait, only_failed=False)
            return
        self._running = True
        self._say("running", "connector runs", tasks=len(status.tasks))
        if self.clock() - self._restarted_at > self.backoff.forgotten_after:
            self._restarts = 0

    async def _silence(self) -> float:
        """Seconds without a heartbeat, as far as it was watched; 0 where the broker cannot be asked."""
        now = self.clock()
        if self._beats_looked_at is not None and now - self._beats_looked_at < self.beats_seconds:
            return self._beats_looked_at - self._beat_at  # as of then: nobody knows what came since
        self._beats_looked_at = now
        try:
            beats = await self.heartbeats()
        except UserError as error:
            log.warning("heartbeats cannot be seen", connector=self.name, reason=error.problem)
            beats = self._beats - 1
        if beats != self._beats:
            self._beats, self._beat_at = beats, now
        return now - self._beat_at

    async def _restart(self, wait: float, *, only_failed: bool) -> None:
        """Restart after a wait, unless the database shows that rows would be skipped, or cannot be compared."""
        await self.sleep(wait)
        self._restarts += 1
        self._restarted_at = self._beat_at = self.clock()
        self._beats_looked_at = None
        if not await self._check() or self._hold:
            return
        self._said = ""
        try:
            await self.connect.restart(self.name, only_failed=only_failed)
        except UserError as error:
            # A Connect that went away in between: the next round sees what is left to do.
            log.warning("restart did not go through", connector=self.name, reason=error.problem)
        else:
            log.info("restarted", connector=self.name, restarts=self._restarts)
            if self.gaps is not None:
                self.gaps.restarted()

    def _repeat(self, event: str, **facts: object) -> None:
        """An error that stays until a person acts: one line each `repeat_seconds`."""
        now = self.clock()
        if event not in self._repeated_at or now - self._repeated_at[event] >= self.repeat_seconds:
            self._repeated_at[event] = now
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
