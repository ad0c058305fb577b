"""Bitrix24: the seconds of work that each method may take, 480 in ten minutes, as the portal's answers tell them.

Facts: the page `limits` of the vendor's documentation: every answer of success has `time.operating` (seconds that count
now) and `time.operating_reset_at`; 429 OPERATION_TIME_LIMIT blocks the method alone, and need not have them. A batch's
commands count each, `result_time` has theirs.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streams.clock import BootSeconds, UtcMicros, boot_seconds
from streams.crm.bitrix24.errors import OPERATION_LIMIT, code_of, own_error, reset_of
from streams.http.request import Ending, Reply

LIMIT_SECONDS = 480.0
WINDOW_SECONDS = 600.0
LONGEST_REQUEST_SECONDS = 60.0
"""What differs by more between two answers was not one request's work."""
SLOW_FROM = 0.8
"""The part of the limit from which a method is called no faster than its work is forgotten."""


@dataclass(slots=True)
class _Work:
    """What is known of a method."""

    operating: float | None = None
    """Seconds that count now, by the last answer; None: no answer told it."""
    cost: float = 0.0
    """Seconds of one request, smoothed."""
    reset_at: UtcMicros | None = None
    blocked_until: UtcMicros = 0
    next_at: BootSeconds = 0.0


class OperatingLimits:
    """What one portal's answers told of its methods' work."""

    def __init__(self) -> None:
        self._work: dict[str, _Work] = {}

    def note(self, methods: Sequence[str], ending: Ending, now: UtcMicros) -> None:
        """Take up what an answer says; `methods`: those asked for, several in a batch."""
        if not isinstance(ending, Reply) or not isinstance(ending.document, dict):
            return
        if own_error(ending) and code_of(ending) == OPERATION_LIMIT:
            for method in methods:
                self._blocked(method, ending, now)
            return
        times = ending.document.get("time")
        inner = ending.document.get("result")
        of_commands = inner.get("result_time") if len(methods) > 1 and isinstance(inner, Mapping) else None
        for method in methods:
            own = of_commands.get(method) if isinstance(of_commands, Mapping) else times
            self._took(method, own if len(methods) == 1 or isinstance(of_commands, Mapping) else None, times, now)

    def blocked_until(self, methods: Sequence[str], now: UtcMicros) -> UtcMicros | None:
        """When the last of these methods works again; None: all of them do."""
        ends = [self._work[method].blocked_until for method in methods if method in self._work]
        return max((end for end in ends if end > now), default=None)

    async def pace(self, methods: Sequence[str], until: BootSeconds) -> bool:
        """Wait so that the methods stay below their limit. False: there is not enough time for that before `until`."""
        wait = max((self._wait(method) for method in methods), default=0.0)
        if wait <= 0:
            return True
        if wait > (until - boot_seconds()) / 2:
            return False
        await asyncio.sleep(wait)
        return True

    def _wait(self, method: str) -> float:
        """Seconds until the method's next turn, which is taken by this."""
        work = self._work.get(method)
        if work is None or (work.operating or 0.0) < SLOW_FROM * LIMIT_SECONDS:
            return 0.0
        now = boot_seconds()
        turn = max(now, work.next_at)
        work.next_at = turn + work.cost * WINDOW_SECONDS / LIMIT_SECONDS
        return turn - now

    def _blocked(self, method: str, ending: Reply, now: UtcMicros) -> None:
        work = self._work.setdefault(method, _Work())
        until = ending.retry_after(now) or reset_of(ending.document.get("time"), now) or work.reset_at
        work.blocked_until = max(work.blocked_until, until or 0)

    def _took(self, method: str, times: object, outer: object, now: UtcMicros) -> None:
        operating = times.get("operating") if isinstance(times, Mapping) else None
        if not isinstance(times, Mapping) or not isinstance(operating, int | float):
            return
        work = self._work.setdefault(method, _Work())
        if work.operating is not None and operating > work.operating:
            cost = min(operating - work.operating, LONGEST_REQUEST_SECONDS)
            work.cost = cost if not work.cost else 0.8 * work.cost + 0.2 * cost
        work.operating = float(operating)
        finish = outer.get("finish") if isinstance(outer, Mapping) else None
        work.reset_at = reset_of({"finish": finish, **times}, now) or work.reset_at
