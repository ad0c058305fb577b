"""Bitrix24's request limits: requests a second and seconds of work."""

from __future__ import annotations

from collections import defaultdict, deque

FINISH_SECONDS = 1.41
"""Seconds of work of one telephony.externalCall.finish in the sample on the vendor's page (2026-08-21), which is no
promise. `operating_cost` (config.py) says what the fake portal counts."""


class LeakyBucket:
    """The intensity limit: a bucket per source address that each request fills by one and that drains
    steadily."""

    def __init__(self) -> None:
        self._level: dict[str, float] = defaultdict(float)
        self._seen: dict[str, float] = {}

    def admit(self, source: str, now: float, *, size: int, drain: float) -> bool:
        """Count a request; False if it overflows the bucket. `size` 0 means no limit; `drain` is requests a second."""
        if not size:
            return True
        passed = max(0.0, now - self._seen.get(source, now))
        level = max(0.0, self._level[source] - passed * drain)
        self._seen[source] = now
        admitted = level + 1 <= size
        self._level[source] = level + 1 if admitted else level
        return admitted


class OperatingTime:
    """The resource limit: seconds of work per method within ten minutes."""

    WINDOW = 600.0

    def __init__(self) -> None:
        self._spent: dict[str, deque[tuple[float, float]]] = defaultdict(deque)

    def spend(self, method: str, now: float, seconds: float) -> None:
        """Count the work of one request."""
        self._spent[method].append((now, seconds))

    def used(self, method: str, now: float) -> float:
        """Seconds of work that still count against the method."""
        spent = self._spent[method]
        while spent and spent[0][0] <= now - self.WINDOW:
            spent.popleft()
        return sum(seconds for _, seconds in spent)

    def reset_at(self, method: str, now: float) -> int:
        """Unix second at which the oldest work that counts is forgotten."""
        spent = self._spent[method]
        return int((spent[0][0] if spent else now) + self.WINDOW) + 1
