"""Local steps of what follows calls, such as looking for a recording: in the order in which they are due, a few at
once, and beside the portals' queues, so that none uses up a portal's rate or tells anything of its health."""

import asyncio
import heapq
import itertools
from typing import Protocol

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, UtcMicros, utc_now_us
from streams.delivery.answers import Answer
from streams.delivery.record import Delivery
from streams.kafka.hard_exit import hard_exit

AT_ONCE = 8
LONGEST_SLEEP_SECONDS = 5.0
"""The wall clock may be set while it sleeps."""


class Preparer(Protocol):
    """Takes local steps."""

    async def prepare(self, delivery: Delivery, result: CallResult) -> Answer:
        """The answer of a follow-up's local step; `delivery`: its view (delivery/follow_ups.py). Raises nothing for
        what is not there or does not answer."""
        ...


class PreparationSource(Protocol):
    """The owner of a partition's deliveries."""

    async def prepare(self, call_id: str) -> None:
        """Take the local step of a call that is due, if it still is."""
        ...


class Preparations:
    """The local steps of all partitions that this process owns."""

    def __init__(self) -> None:
        """Inside a running event loop."""
        self._due: list[tuple[UtcMicros, int, PreparationSource, str]] = []
        self._sequence = itertools.count()
        self._changed = asyncio.Event()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[asyncio.Task[None], PreparationSource] = {}
        self._loop = asyncio.create_task(self._dispatch())

    def schedule(self, source: PreparationSource, call_id: str, at: UtcMicros) -> None:
        """Queue a call for when its step is due."""
        heapq.heappush(self._due, (at, next(self._sequence), source, call_id))
        self._changed.set()

    async def drop_partitions(self, sources: frozenset[PreparationSource]) -> None:
        """Forget the calls of partitions that are released, and cut off their steps: they have no effect."""
        self._due = [entry for entry in self._due if entry[2] not in sources]
        heapq.heapify(self._due)
        theirs = [task for task, source in self._under_way.items() if source in sources]
        for task in theirs:
            task.cancel()
        if theirs:
            await asyncio.wait(theirs)

    async def stop(self) -> None:
        """End all."""
        self._loop.cancel()
        for task in self._under_way:
            task.cancel()
        await asyncio.wait([self._loop, *self._under_way])

    async def _dispatch(self) -> None:
        try:
            while True:
                await self._free.acquire()
                source, call_id = await self._next()
                task = asyncio.create_task(source.prepare(call_id))
                self._under_way[task] = source
                task.add_done_callback(self._ended)
        except Exception as error:  # whatever the cause: recordings would wait for ever
            hard_exit("the queue of local steps broke", error)

    async def _next(self) -> tuple[PreparationSource, str]:
        while True:
            self._changed.clear()
            wait_us = self._due[0][0] - utc_now_us() if self._due else LONGEST_SLEEP_SECONDS * MICROS_PER_SECOND
            if wait_us <= 0:
                _, _, source, call_id = heapq.heappop(self._due)
                return source, call_id
            try:
                async with asyncio.timeout(min(LONGEST_SLEEP_SECONDS, wait_us / MICROS_PER_SECOND)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(task, None)
        self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            hard_exit("a local step of a delivery broke", error)
