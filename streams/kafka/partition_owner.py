"""Owning partitions, the same for every worker: all are taken over, or none; and none may fall silent."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from faust.types import TP

from streams.kafka.hard_exit import hard_exit
from streams.kafka.health import Health

RELEASE_SECONDS = 8.0
"""Limit for giving partitions back; below the shortest session, for a rebalance waits for it."""

REST_SECONDS = 5.0
"""While nothing moves, the brokers are asked so often."""

SILENT_SECONDS = 180.0
BEYOND_SECONDS = 10.0
"""A broker that has just begun to lead a partition may know its end a moment late."""

HEALTH = Health(SILENT_SECONDS)
"""Of this process: told by its watchdogs and its runtime, asked at the port of its metrics."""

Owned = TypeVar("Owned")


async def take_over_all(
    partitions: Iterable[TP],
    take_over: Callable[[TP], Awaitable[Owned]],
    release: Callable[[Owned], Awaitable[None]],
) -> dict[TP, Owned]:
    """Take partitions over side by side; what each became.

    Where one fails, or this is cancelled, the others are cancelled, those taken over already are released, and the
    error is raised.
    """
    tasks = {tp: asyncio.ensure_future(take_over(tp)) for tp in partitions}
    try:
        return {tp: await task for tp, task in tasks.items()}
    except BaseException:
        for task in tasks.values():
            task.cancel()
        for taken in await asyncio.gather(*tasks.values(), return_exceptions=True):
            if not isinstance(taken, BaseException):
                await release(taken)
        raise


class BrokerLooks:
    """When to ask the brokers where partitions begin and end: at every turn of a timer while anything moves, else every
    `rest_seconds`."""

    def __init__(self, rest_seconds: float = REST_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._positions: dict[TP, int] = {}
        self._asked = float("-inf")

    def due(self, positions: Mapping[TP, int], *, busy: bool = False) -> bool:
        """Whether to ask now. `busy`: something waits for the answer, though no record comes."""
        now = self._clock()
        if not busy and positions == self._positions and now - self._asked < self._rest_seconds:
            return False
        self._positions, self._asked = dict(positions), now
        return True


class SilenceWatchdog:
    """Ends the process hard where records wait on a partition and none is taken for `limit_seconds`.

    A consumer can go silent after a cluster died (aiokafka issue 703). And where the end stays before the next record:
    the topic was made again so fast that the group did not notice, or lost its end. The next owner begins anew.
    """

    def __init__(self, limit_seconds: float = SILENT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._seen: dict[TP, tuple[int, float]] = {}
        self._beyond: dict[TP, float] = {}

    def restart(self) -> None:
        """Forget what was seen: other partitions were assigned."""
        for tp in self._seen:
            HEALTH.stands(id(self), tp, None)
        self._seen.clear()
        self._beyond.clear()

    def check(self, tp: TP, position: int, end_offset: int) -> None:
        """Look at a partition, every second or so.

        `position`: the offset of the next record to be taken, before `end_offset` was asked.
        """
        now = self._clock()
        if position <= end_offset:
            self._beyond.pop(tp, None)
        elif now - self._beyond.setdefault(tp, now) > BEYOND_SECONDS:
            hard_exit(f"{tp} ends at {end_offset}, before the next record {position}: the topic was made again")
        seen, since = self._seen.get(tp, (-1, now))
        moving = position != seen or position >= end_offset
        HEALTH.stands(id(self), tp, None if moving else since)
        if moving:
            self._seen[tp] = position, now
        elif now - since > self._limit_seconds:
            hard_exit(f"records wait on {tp}, and none has come for {self._limit_seconds:.0f} s")
