"""Turns of the event loop: long work lets others go on, by time and not by count."""

import asyncio
import time
from typing import Any

LONGEST_TURN_SECONDS = 0.005
_FREED_AT_ONCE = 1_000


class Turn:
    """How long its holder has had the event loop."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + LONGEST_TURN_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether others are to go on now."""
        return time.perf_counter() > self._until

    async def give_way(self) -> None:
        """Let the others go on; then a new turn begins."""
        await asyncio.sleep(0)
        self._until = time.perf_counter() + LONGEST_TURN_SECONDS


async def give_back(items: list[Any]) -> None:
    """Empty a list in turns: to free many thousands of objects at once holds the event loop for milliseconds."""
    turn = Turn()
    while items:
        del items[-_FREED_AT_ONCE:]
        if turn.is_over:
            await turn.give_way()
