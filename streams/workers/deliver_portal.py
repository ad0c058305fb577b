"""A portal's gate: when a request may go out, and which call comes next."""

import asyncio
import heapq
from collections.abc import Callable

import structlog
from aiolimiter import AsyncLimiter

from streams.crm.client import CrmClient
from streams.crm.http import utc_now
from streams.crm.plan import Policy
from streams.crm.record import SECOND
from streams.settings import PortalSettings, RateLimit

DEFAULT_LIMITS = {
    "bitrix24": RateLimit(burst=50, per_second=2),
    "kommo": RateLimit(burst=7, per_second=7),
}
"""What the vendors document (crm-apis.md)."""

_PAUSE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 600
_IDLE_SECONDS = 5.0

_log = structlog.get_logger("deliver")

Start = Callable[[str], "asyncio.Task[None] | None"]
"""Begins what is due of a call; None: nothing is."""


class Portal:
    """One portal: its client, its limits, its waiting calls, and a circuit breaker.

    After a failure that is the whole portal's (`slow`, `pause`) one request at a time goes out, until one succeeds.
    """

    def __init__(self, settings: PortalSettings, client: CrmClient, start: Start) -> None:
        limit = settings.rate_limit or DEFAULT_LIMITS[settings.crm]
        self.settings = settings
        self.client = client
        self.policy = Policy(
            request_limit=round(settings.request_timeout_seconds * SECOND),
            settle=round(settings.settle_seconds * SECOND),
            deadline=round(settings.deadline_hours * 3600 * SECOND),
        )
        self._limiter = AsyncLimiter(limit.burst, limit.burst / limit.per_second)
        self._start = start
        self._waiting: list[tuple[int, int, str]] = []
        self._order = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._not_before = 0
        self._failures = 0
        self._paused = False
        self._loop: asyncio.Task[None] | None = None

    @property
    def paused(self) -> bool:
        """No request goes out until its time is over: a person has to act."""
        return self._paused

    def open(self) -> None:
        """Begin to send."""
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End; requests under way were waited for by their partition."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        await self.client.close()

    def wants(self, call_id: str, due_at: int) -> None:
        """The call wants to act at that time (UTC microseconds)."""
        self._order += 1
        heapq.heappush(self._waiting, (due_at, self._order, call_id))
        self._changed.set()

    def slow(self, until: int, why: str) -> None:
        """No request before `until`."""
        if until > self._not_before:
            _log.warning("the portal takes no calls for now", portal=self.settings.name, why=why)
        self._not_before = max(self._not_before, until)
        self._failures += 1

    def pause(self, why: str) -> None:
        """Stop until a person acted; looked at again by one request after a while. Its calls are kept."""
        seconds = min(_LONGEST_PAUSE_SECONDS, _PAUSE_SECONDS * 2 ** min(self._failures, 10))
        if not self._paused:
            _log.error("the portal is paused, its calls are kept", portal=self.settings.name, why=why)
        self._paused = True
        self._failures += 1
        self._not_before = max(self._not_before, utc_now() + seconds * SECOND)

    def works(self) -> None:
        """A request was taken."""
        if self._failures:
            _log.info("the portal takes calls again", portal=self.settings.name)
            self._changed.set()
        self._failures = 0

    def resume_due(self) -> bool:
        """The pause is over, once."""
        if self._paused and utc_now() >= self._not_before:
            self._paused = False
            return True
        return False

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            wait = self._wait_seconds()
            if wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                continue
            await self._limiter.acquire()
            if self._wait_seconds() > 0:
                continue  # the portal slowed down meanwhile
            task = self._start(heapq.heappop(self._waiting)[2])
            if task is not None:
                self._under_way.add(task)
                task.add_done_callback(self._ended)

    def _wait_seconds(self) -> float:
        most = 1 if self._failures else self.settings.parallel
        if not self._waiting or len(self._under_way) >= most:
            return _IDLE_SECONDS
        due = max(self._waiting[0][0], self._not_before)
        return max(0.0, (due - utc_now()) / SECOND)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._changed.set()
