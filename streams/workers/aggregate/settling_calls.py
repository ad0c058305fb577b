"""When to look at calls after their LINKEDID_END, and where their partitions end then.

While rows come, each answer to a fetch tells where the topic ends: nobody else is asked.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka import TopicPartition
from faust.types import TP

from streams.clock import utc_now_ms
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.faust_overrides import Consumer
from streams.kafka.group_consumer import KnownEnd
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.steps import Ended

_SHORTEST_LOOK_SECONDS = 0.01
_NEXT_ANSWER_SECONDS = 0.025
"""While rows come an answer to a fetch comes about so soon after a settle time (`worker.linger_seconds`), and tells the
end anew: a look before it would find what the last one found."""
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

    def rows_taken(self) -> None:
        """The end of every partition may be known anew: of use where a call waits for its settle time."""
        if any(each.partition.settling for each in self._assigned().values()):
            self.wake()

    def wake(self) -> None:
        """Look soon."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait for the next look: when rows were taken; where none come, when a call has settled.

        A look is worth something once the end of the topic is known anew: while rows come that is with them.
        """
        settling = [each.partition for each in self._assigned().values() if each.partition.settling]
        if settling:
            limit, now = self._settle_seconds / 2, utc_now_ms()
            due = [at for partition in settling if (at := partition.settled_at) is not None and at > now]
            if len(due) == len(settling):
                limit = (min(due) - now) / 1000 + min(limit, _NEXT_ANSWER_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(_SHORTEST_LOOK_SECONDS, limit)):
                    await self._woken.wait()
        else:
            await self._woken.wait()
        self._woken.clear()

    async def look(self) -> None:
        """End the calls that have settled. Raises KafkaError, OSError or TimeoutError."""
        settling = {tp: each for tp, each in self._assigned().items() if each.partition.settling}
        known = self.known_ends(settling)
        for tp, end in known.items():
            if end.as_of_ms > settling[tp].looked_at_ms:
                await self._end(settling[tp], end.as_of_ms, end.offset)
        unknown = [TopicPartition(*tp) for tp in settling if tp not in known]
        if not unknown:
            return
        # In a connection of its own: behind a fetch that waits for records the answer takes up to 1.5 s.
        ends = await self._reader.ends(unknown)
        for (topic, partition), offset in ends.items():
            if asked := self._assigned().get(TP(topic, partition)):
                await self._end(asked, utc_now_ms(), offset)

    def known_ends(self, partitions: Iterable[TP]) -> dict[TP, KnownEnd]:
        """Where those partitions end of which an answer to a fetch told it just now."""
        now = utc_now_ms()
        told = {tp: self.group.known_end(tp) for tp in partitions}
        return {tp: end for tp, end in told.items() if end is not None and abs(now - end.as_of_ms) <= _NEW_END_MS}

    async def _end(self, assigned: AssignedPartition, now: int, end: int) -> None:
        # Where its rows are still being taken, the same answer is worth another look.
        assigned.looked_at_ms = now if assigned.partition.position >= end else now - 1
        await self._send(assigned, assigned.partition.end_settled(now, end))
