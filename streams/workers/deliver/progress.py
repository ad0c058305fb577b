"""How far a topic's partition was read, and up to which offset all changes are durable."""

import asyncio
from collections import deque
from typing import Any

from streams.workers.deliver.commit_mark import commit_mark


class OffsetTracker:
    """Records are taken in the order of their offsets; their changes become durable later, in the same order."""

    def __init__(self, position: int) -> None:
        self.position = position
        """Offset of the next record."""
        self.committed = -1
        """The offset that was committed last; -1: none yet."""
        self.mark = commit_mark(0)
        """The metadata of its commits."""
        self._written: deque[tuple[int, asyncio.Future[Any]]] = deque()
        self._durable = position

    def record_taken(self, offset: int, written: "asyncio.Future[Any] | None") -> None:
        """Note that a record was taken; `written`: ends when its change is durable, None where it changed nothing."""
        self.position = offset + 1
        if written is not None:
            self._written.append((offset, written))

    @property
    def durable(self) -> int:
        """The offset to commit: the change of every record before it is durable."""
        while self._written and self._written[0][1].done():
            self._durable = self._written.popleft()[0] + 1
        return self._durable if self._written else self.position

    async def wait_durable(self) -> None:
        """Wait until the changes of all records taken so far are durable."""
        if self._written:
            await self._written[-1][1]
