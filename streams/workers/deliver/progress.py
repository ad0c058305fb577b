"""How far one topic's partition was read, and how far what came of it is durable."""

import asyncio
from collections import deque
from typing import Any


class OffsetTracker:
    """Records come in the order of their offsets; what each changed becomes durable later, in the same order."""

    def __init__(self, position: int) -> None:
        self.position = position
        """Offset of the next record."""
        self.committed = -1
        """The offset that the group has confirmed."""
        self._written: deque[tuple[int, asyncio.Future[Any]]] = deque()
        self._durable = position

    def took(self, offset: int, written: "asyncio.Future[Any] | None") -> None:
        """A record was taken; `written`: ends when what it changed is durable, None where it changed nothing."""
        self.position = offset + 1
        if written is not None:
            self._written.append((offset, written))

    @property
    def durable(self) -> int:
        """What every record before this offset changed is durable."""
        while self._written and self._written[0][1].done():
            self._durable = self._written.popleft()[0] + 1
        return self._durable if self._written else self.position

    async def caught_up(self) -> None:
        """Wait until everything taken so far is durable."""
        if self._written:
            await self._written[-1][1]
