"""Whether a portal takes requests now: its rate, its room, a circuit breaker and the pause."""

import random
from collections.abc import Callable

import structlog
from aiolimiter import AsyncLimiter

from streams.clock import MICROS_PER_SECOND
from streams.settings import PortalSettings, RateLimit

DEFAULT_RATES = {
    # The vendors' own limits (spec crm-apis.md): Bitrix24 per portal and address, Kommo per integration.
    "bitrix24": RateLimit(burst=50, per_second=2.0),
    # 7 in any second, as they arrive there: evenly, and a little below, since the network bunches them up.
    "kommo": RateLimit(burst=1, per_second=6.5),
    "webhook": RateLimit(burst=50, per_second=50.0),
}

FAILURES_TO_OPEN = 5
LONGEST_OPEN = 10 * MICROS_PER_SECOND
"""Six trials a minute are nothing to a portal, and it is seen at once when it is back."""

FIRST_PROBE = 5 * MICROS_PER_SECOND
LAST_PROBE = 300 * MICROS_PER_SECOND

_FOR_GOOD = 10**15
"""Microseconds: decades."""

_log = structlog.get_logger("deliver")


class PortalThrottle:
    """One portal's gate. Times: UTC microseconds, given in.

    Open, it lets requests through at the portal's rate. After some failures in a row, or when the portal said that no
    request will do (a pause), it closes for a while, then lets one request through as a trial. Disabled, it is closed.
    """

    def __init__(self, portal: PortalSettings, draw: Callable[[], float] = random.random) -> None:
        self._portal = portal
        self._draw = draw
        self._rate = portal.rate_limit or DEFAULT_RATES[portal.crm]
        self._share = 0.0
        self._limiter = AsyncLimiter(1)
        self.set_share(1.0)
        self.paused_for: str | None = None
        self.disabled = False
        self.failures = 0
        self._pauses = 0
        self._closed_until = 0
        self._trial = False
        self._warned = False

    def set_share(self, share: float) -> None:
        """Keep to this part of the rate (0 < share <= 1): several workers serve one portal."""
        if share != self._share:
            self._share = share
            burst = max(1.0, self._rate.burst * share)
            self._limiter = AsyncLimiter(burst, burst / (self._rate.per_second * share))

    @property
    def failing(self) -> bool:
        """The portal does not take calls at the moment, for no reason that a person must mend."""
        return self.failures > 0 and self.paused_for is None

    def closed_for(self, now: int) -> int:
        """Microseconds until it is worth asking again; 0: now."""
        return _FOR_GOOD if self.disabled else max(0, self._closed_until - now)

    def admits(self, now: int) -> bool:
        """Whether a request may go now, apart from the rate. One that does is followed by `succeeded` or the like."""
        if self.closed_for(now) or (self._trial and self._on_trial):
            return False
        self._trial = self._on_trial
        return True

    @property
    def _on_trial(self) -> bool:
        return self.paused_for is not None or self.failures >= FAILURES_TO_OPEN

    async def pace(self) -> None:
        """Wait for the rate."""
        await self._limiter.acquire()

    def unused(self) -> None:
        """What was admitted did not become a request."""
        self._trial = False

    def succeeded(self) -> bool:
        """The portal did its work. True: it is back from a pause."""
        if self.disabled:
            return False  # an answer to what went out before
        back = self.paused_for is not None
        if back or self.failures >= FAILURES_TO_OPEN:
            _log.info("portal takes calls again", portal=self._portal.name)
        self.paused_for, self.failures, self._pauses, self._trial = None, 0, 0, False
        self._closed_until, self._warned = 0, False
        return back

    def failed(self, now: int, why: str, until: int | None = None) -> None:
        """No answer, or one that asks to slow down (`until`)."""
        self._trial = False
        already_closed = self.closed_for(now) > 0
        if until is not None:
            self._closed_until = max(self._closed_until, until)
        if already_closed and self.failures >= FAILURES_TO_OPEN:
            return  # an answer to what went out before
        self.failures += 1
        beyond = self.failures - FAILURES_TO_OPEN
        if beyond >= 0:
            wait = min(LONGEST_OPEN, MICROS_PER_SECOND * 2 ** min(beyond, 20))
            self._closed_until = max(self._closed_until, now + int(wait * (0.5 + self._draw() / 2)))
        if beyond == 0 and not self._warned:
            self._warned = True
            _log.warning("portal does not take calls", portal=self._portal.name, why=why)

    def try_now(self) -> None:
        """A person acted: try at once where the portal is paused."""
        if self.paused_for is not None:
            self._closed_until = self._pauses = 0

    def disable(self, why: str) -> None:
        """No request at all: the portal wants none."""
        self.disabled, self.paused_for, self._trial = True, why, False

    def pause(self, now: int, why: str) -> None:
        """No request will do until a person acts; one is tried now and then all the same."""
        self._trial = False
        if self.disabled or (self.paused_for is not None and self.closed_for(now)):
            return  # an answer to what went out before
        if self.paused_for is None:
            name, crm = self._portal.name, self._portal.crm
            _log.error("portal is paused, its calls are kept: a person must act", portal=name, crm=crm, why=why)
        self.paused_for = why
        self._closed_until = max(self._closed_until, now + min(LAST_PROBE, FIRST_PROBE * 2**self._pauses))
        self._pauses = min(self._pauses + 1, 10)
