"""When to look at calls after their LINKEDID_END, and where their partitions end then.

While rows come, each answer to a fetch tells where the topic ends: nobody else is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka import TopicPartition
from faust.types import TP

from streams.clock import utc_now_ms
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.faust_overrides import Consumer
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.steps import Ended

_SHORTEST_LOOK_SECONDS = 0.01
_NEW_END_MS = 250
"""What a fetch told longer ago does not count."""


class SettlingCalls:
    """The timer of calls after their LINKEDID_END."""

    group: Consumer

    def __init__(
        self,
        settle_seconds: float,
        reader: BoundedReader,
        assigned: Callable[[], Mapping[TP, AssignedPartition]],
        send: Callable[[AssignedPartition, Iterable[Ended]], Awaitable[None]],
    ) -> None:
        """`send`: what is done with calls that ended."""
        self._settle_seconds = settle_seconds
        self._reader = reader
        self._assigned = assigned
        self._send = send
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A call may wait for its settle time now."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait for the next look: twice in each settle time while a call waits for it."""
        if any(assigned.partition.settling for assigned in self._assigned().values()):
            await asyncio.sleep(max(_SHORTEST_LOOK_SECONDS, self._settle_seconds / 2))
            return
        self._woken.clear()
        await self._woken.wait()

    async def look(self) -> None:
        """End the calls that have settled. Raises KafkaError, OSError or TimeoutError."""
        now, unknown = utc_now_ms(), []
        for tp, assigned in list(self._assigned().items()):
            if not assigned.partition.settling:
                continue
            known = self.group.known_end(tp)
            if known is None or abs(now - known.as_of_ms) > _NEW_END_MS:
                unknown.append(TopicPartition(*tp))
            elif known.as_of_ms > assigned.looked_at_ms:
                await self._end(assigned, known.as_of_ms, known.offset)
        if not unknown:
            return
        # In a connection of its own: behind a fetch that waits for records the answer takes up to 1.5 s.
        ends = await self._reader.ends(unknown)
        for (topic, partition), end in ends.items():
            if asked := self._assigned().get(TP(topic, partition)):
                await self._end(asked, utc_now_ms(), end)

    async def _end(self, assigned: AssignedPartition, now: int, end: int) -> None:
        assigned.looked_at_ms = now
        await self._send(assigned, assigned.partition.end_settled(now, end))
