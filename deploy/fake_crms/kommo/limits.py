"""Kommo's request limit."""

from __future__ import annotations

from collections import deque


class RequestsPerSecond:
    """A limit of requests within any second; a sender that keeps flooding is shut out for a while."""

    FLOOD_WINDOW = 10.0

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._banned_until = 0.0

    def admit(self, now: float, *, per_second: int, flood: int, ban: float) -> int:
        """Count a request: 200 if it may pass, 429 above `per_second`, 403 for `ban` seconds after `flood` refusals
        within 10 s. `per_second` 0 means no limit."""
        if not per_second:
            return 200
        if now < self._banned_until:
            return 403
        while self._admitted and self._admitted[0] <= now - 1:
            self._admitted.popleft()
        if len(self._admitted) < per_second:
            self._admitted.append(now)
            return 200
        while self._refused and self._refused[0] <= now - self.FLOOD_WINDOW:
            self._refused.popleft()
        self._refused.append(now)
        if len(self._refused) >= flood:
            self._refused.clear()
            self._banned_until = now + ban
            return 403
        return 429
