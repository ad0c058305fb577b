"""A portal's throttle: its rate limit, a circuit breaker, and the pause of a portal that needs a person."""

import random
from collections.abc import Callable

import structlog
from aiolimiter import AsyncLimiter

from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.settings import PortalSettings

FAILURES_TO_OPEN = 5
LONGEST_OPEN_US = 10 * MICROS_PER_SECOND
"""The longest time between trials of the circuit breaker. Six trials a minute are nothing to a portal, and it is
noticed at once when it is back."""

FIRST_PROBE_US = 5 * MICROS_PER_SECOND
LAST_PROBE_US = 300 * MICROS_PER_SECOND
"""The first and the longest time between trials of a paused portal."""

RARE_PROBE_US = 3600 * MICROS_PER_SECOND
"""The time between trials of a portal that blocks our address for too many requests."""

_FOR_GOOD_US = 10**15
"""Decades."""

_log = structlog.get_logger("deliver")


class PortalThrottle:
    """Decides whether a portal may get a request now.

    Open, the throttle lets requests through at the portal's rate. After some failures in a row, or when the portal said
    that no request will do (a pause), it closes for a while, then admits one request as a trial. Disabled, it stays
    closed. Every admitted request is followed by `succeeded`, `failed`, `pause`, `disable` or `not_used`.
    """

    def __init__(self, portal: PortalSettings, draw: Callable[[], float] = random.random) -> None:
        self._portal = portal
        self._draw = draw
        self._rate = portal.rate
        self._share = 0.0
        self._limiter = AsyncLimiter(1)
        self.set_share(1.0)
        self.pause_reason: str | None = None
        self.disabled = False
        self.failures = 0
        self._pauses_in_a_row = 0
        self._closed_until = 0
        self.pauses = 0
        """How many pauses have begun so far."""
        self._trial_open = False
        self._warned = False

    def set_share(self, share: float) -> None:
        """Keep to this part of the portal's rate (0 < share <= 1): several workers serve one portal."""
        if share != self._share:
            self._share = share
            burst = max(1.0, self._rate.burst * share)
            self._limiter = AsyncLimiter(burst, burst / (self._rate.per_second * share))

    @property
    def failing(self) -> bool:
        """Whether the portal does not take calls at the moment, without a reason that a person must mend."""
        return self.failures > 0 and self.pause_reason is None

    def closed_for_us(self, now: UtcMicros) -> int:
        """The time until a request may be tried; 0: now."""
        return _FOR_GOOD_US if self.disabled else max(0, self._closed_until - now)

    def admits(self, now: UtcMicros) -> bool:
        """Whether a request may go now, apart from the rate."""
        if self.closed_for_us(now) or (self._trial_open and self._needs_trial):
            return False
        self._trial_open = self._needs_trial
        return True

    @property
    def _needs_trial(self) -> bool:
        return self.pause_reason is not None or self.failures >= FAILURES_TO_OPEN

    async def pace(self) -> None:
        """Wait until the rate allows one more request."""
        await self._limiter.acquire()

    def not_used(self) -> None:
        """An admission did not become a request."""
        self._trial_open = False

    def succeeded(self, pauses_before: int) -> bool:
        """The portal answered a request; `pauses_before`: `pauses` when it was sent. True: it is back from a pause."""
        back = self.pause_reason is not None
        if self.disabled or (back and pauses_before < self.pauses):
            return False  # the answer to a request from before
        if back or self.failures >= FAILURES_TO_OPEN:
            _log.info("portal takes calls again", portal=self._portal.name)
        self.pause_reason, self.failures, self._pauses_in_a_row, self._trial_open = None, 0, 0, False
        self._closed_until, self._warned = 0, False
        return back

    def failed(self, now: UtcMicros, why: str, until: UtcMicros | None = None) -> None:
        """The portal did not answer, or asked to slow down (`until`)."""
        self._trial_open = False
        already_closed = self.closed_for_us(now) > 0
        if until is not None:
            self._closed_until = max(self._closed_until, until)
        if already_closed and self.failures >= FAILURES_TO_OPEN:
            return  # the answer to a request from before
        self.failures += 1
        beyond = self.failures - FAILURES_TO_OPEN
        if beyond >= 0:
            wait = min(LONGEST_OPEN_US, MICROS_PER_SECOND * 2 ** min(beyond, 20))
            self._closed_until = max(self._closed_until, now + int(wait * (0.5 + self._draw() / 2)))
        if beyond == 0 and not self._warned:
            self._warned = True
            _log.warning("portal does not take calls", portal=self._portal.name, why=why)

    def try_now(self) -> None:
        """Admit a trial at once where the portal is paused: a person acted."""
        if self.pause_reason is not None:
            self._closed_until = self._pauses_in_a_row = 0

    def disable(self, why: str) -> None:
        """Close for good: the portal wants no requests."""
        self.disabled, self.pause_reason, self._trial_open = True, why, False

    def pause(self, now: UtcMicros, why: str, *, rarely: bool = False) -> None:
        """Close: no request will do until a person acts. One is tried now and then all the same, or once an hour
        (`rarely`)."""
        self._trial_open = False
        if self.disabled or (self.pause_reason is not None and self.closed_for_us(now)):
            return  # the answer to a request from before
        if self.pause_reason is None:
            name, crm = self._portal.name, self._portal.crm
            _log.error("portal is paused, its calls are kept: a person must act", portal=name, crm=crm, why=why)
            self.pauses += 1
        self.pause_reason = why
        probe = RARE_PROBE_US if rarely else min(LAST_PROBE_US, FIRST_PROBE_US * 2**self._pauses_in_a_row)
        self._closed_until = max(self._closed_until, now + probe)
        self._pauses_in_a_row = min(self._pauses_in_a_row + 1, 10)
