"""The watcher's look for gaps: after each restart of a task and once an hour, beside the watching, in bounded time.

When the last one ended is remembered (gap_memory.py), so that a watcher that is started again keeps the rhythm. With an
empty memory it compares at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog
from prometheus_client import Gauge

from connectors.gap_memory import GapOutcome
from streams.clock import UtcMillis, utc_now_ms
from streams.errors import UserError

log = structlog.get_logger("connectors.watch")

GAPS = Gauge("cel2crm_gaps", "Rows that never reached the topic, and calls that no result shows", ["pbx", "kind"])
COMPARED = Gauge("cel2crm_gaps_compared_timestamp_seconds", "When the last comparison for gaps ended", ["pbx"])

RESTARTED = "a task was restarted"
HOURLY = "an hour is over"


class GapCheck(Protocol):
    """Compares in small. Every method raises UserError where it cannot."""

    async def last(self) -> GapOutcome | None:
        """The outcome that is remembered; None: nothing is."""
        ...

    async def compare(self, last: GapOutcome | None) -> GapOutcome:
        """Compare the recent part: what came since `last`, and what was missing then."""
        ...

    async def remember(self, outcome: GapOutcome) -> None:
        """Remember an outcome."""
        ...


@dataclass(slots=True)
class GapWatch:
    """Says when to compare, and tells the outcome. Call `step` often; it never waits."""

    check: GapCheck
    name: str
    """The connector's, for log lines."""
    pbx: str
    every_seconds: float = 3600.0
    retry_seconds: float = 300.0
    """After a comparison that failed."""
    limit_seconds: float = 600.0
    """A comparison that takes longer is given up."""
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Shared by those of several PBXs: each comparison reads the topic, and they fall due together."""
    now_ms: Callable[[], UtcMillis] = utc_now_ms
    _due_ms: float | None = None
    """None: the memory was not read yet."""
    _asked_for: bool = False
    """A task was restarted since the last comparison began."""
    _unchecked: bool = False
    """A task was restarted, and no comparison that began since has come to an end."""
    _task: "asyncio.Task[None] | None" = None

    def restarted(self) -> None:
        """A task was restarted: compare as soon as it runs."""
        self._asked_for = self._unchecked = True

    @property
    def unchecked(self) -> bool:
        """Whether a restart may have passed over rows, and nobody has looked yet."""
        return self._unchecked

    def step(self, *, running: bool) -> None:
        """Begin what is due. `running`: the connector runs, so that rows on their way come through."""
        if self._task is not None:
            if not self._task.done():
                return
            self._task = None
        if self._due_ms is None:
            self._task = asyncio.ensure_future(self._read_memory())
        elif running and (self._asked_for or self.now_ms() >= self._due_ms):
            why, self._asked_for = RESTARTED if self._asked_for else HOURLY, False
            self._task = asyncio.ensure_future(self._compare(why))

    @property
    def busy(self) -> bool:
        """Whether a comparison is under way."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _read_memory(self) -> None:
        try:
            last = await self.check.last()
        except UserError:
            return  # read again with the next step
        now = self.now_ms()
        if last is None or last.compared_at_ms > now:  # a clock that was put back must not put this off
            self._due_ms = now
        else:
            self._show(last)
            wait = self.retry_seconds if last.problem else self.every_seconds
            self._due_ms = last.compared_at_ms + wait * 1000

    async def _compare(self, why: str) -> None:
        last = None
        try:
            async with self.turns, asyncio.timeout(self.limit_seconds):
                last = await self.check.last()
                outcome = await self.check.compare(last)
        except UserError as error:
            outcome = self._failed(last, error.problem)
        except TimeoutError:
            outcome = self._failed(last, f"not done within {self.limit_seconds:.0f} s")
        except Exception as error:  # a fault of ours must not end the watching
            outcome = self._failed(last, f"{type(error).__name__}: {error}", exc_info=True)
        self._show(outcome)
        self._due_ms = self.now_ms() + (self.retry_seconds if outcome.problem else self.every_seconds) * 1000
        try:
            await self.check.remember(outcome)
        except UserError as error:
            log.warning("the outcome for gaps is not remembered", connector=self.name, reason=error.problem)
        if not outcome.problem:
            self._unchecked = self._asked_for
            self._tell(outcome, why)

    def _failed(self, last: GapOutcome | None, reason: str, **facts: object) -> GapOutcome:
        log.warning("cannot compare for gaps", connector=self.name, reason=reason, **facts)
        return msgspec.structs.replace(last or GapOutcome(0), compared_at_ms=self.now_ms(), problem=reason)

    def _tell(self, outcome: GapOutcome, why: str) -> None:
        facts = {"rows": outcome.missing_rows, "calls": outcome.calls_without_result}
        if outcome.found:
            log.error("rows are missing", connector=self.name, reason=outcome.told, remedy=outcome.remedy(), **facts)
        else:
            log.info("no gaps", connector=self.name, why=why, up_to=outcome.compared_to and outcome.compared_to.id)
        if outcome.unsettled_rows:
            log.warning("capture is behind: whether rows are missing is not known", rows=outcome.unsettled_rows)

    def _show(self, outcome: GapOutcome) -> None:
        GAPS.labels(self.pbx, "rows").set(outcome.missing_rows)
        GAPS.labels(self.pbx, "calls").set(outcome.calls_without_result)
        if not outcome.problem:
            COMPARED.labels(self.pbx).set(outcome.compared_at_ms / 1000)
