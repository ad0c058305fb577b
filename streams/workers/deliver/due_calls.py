"""The calls that wait for a portal, by when they are due, and whose turn it is."""

import heapq
import itertools
from typing import Generic, Protocol, TypeVar

from streams.clock import UtcMicros
from streams.delivery.record import Delivery, State


class Due(Protocol):
    """The owner of a call, as far as its turn goes."""

    def is_due(self, call_id: str, now: UtcMicros) -> bool:
        """Whether the call is due and no attempt at it is under way."""
        ...


Source = TypeVar("Source", bound=Due)
Heap = list[tuple[UtcMicros, int, Source, str]]
"""When each call is due, or came, a number that keeps the order, its owner, and its id."""


class DueCalls(Generic[Source]):
    """Calls in the order in which they go to their portal.

    Those between two steps are first: a registered call is to be finished soon, and takes one request. Then calls that
    are due since they came and calls that are due at a time (a repeat, a lookup) take turns: neither kind waits for the
    end of the other, which does not come while calls come as fast as their portal takes them. What follows a call goes
    when no call is due.
    """

    def __init__(self) -> None:
        self._between_steps: Heap[Source] = []
        self._came: Heap[Source] = []
        """By when their deadline began to run, which a clock that was set may have in the future: they are due."""
        self._at_time: Heap[Source] = []
        self._following: Heap[Source] = []
        self._came_had_turn = False
        self._sequence = itertools.count()

    def __len__(self) -> int:
        """The number of calls; what follows one is not counted."""
        return len(self._between_steps) + len(self._came) + len(self._at_time)

    def add(self, source: Source, delivery: Delivery, due: UtcMicros, follow_up: str) -> None:
        """Add a call that is due then (0: now); `follow_up`: what of it is due, empty: the call itself."""
        if follow_up:
            heap, first = self._following, due
        elif delivery.state is State.REGISTERED:
            heap, first = self._between_steps, due
        elif due:
            heap, first = self._at_time, due
        else:
            heap, first = self._came, delivery.queued_at
        heapq.heappush(heap, (first, next(self._sequence), source, delivery.call_id))

    def next_due(self, now: UtcMicros) -> UtcMicros | None:
        """When the first call is due (0: now); None: there is none. Those that are no longer due are dropped."""
        heaps = self._between_steps, self._at_time, self._following
        for heap in heaps:
            while heap and heap[0][0] <= now and not heap[0][2].is_due(heap[0][3], now):
                heapq.heappop(heap)
        while self._came and not self._came[0][2].is_due(self._came[0][3], now):
            heapq.heappop(self._came)
        return 0 if self._came else min((heap[0][0] for heap in heaps if heap), default=None)

    def take(self, now: UtcMicros) -> tuple[Source, str] | None:
        """The call whose turn it is; None: none is due."""
        turns = (self._at_time, self._came) if self._came_had_turn else (self._came, self._at_time)
        for heap in (self._between_steps, *turns, self._following):
            if heap and (heap is self._came or heap[0][0] <= now):
                if heap is self._came or heap is self._at_time:
                    self._came_had_turn = heap is self._came
                _, _, source, call_id = heapq.heappop(heap)
                return source, call_id
        return None

    def drop(self, sources: frozenset[Source]) -> None:
        """Forget the calls of these owners."""
        for heap in (self._between_steps, self._came, self._at_time, self._following):
            heap[:] = [entry for entry in heap if entry[2] not in sources]
            heapq.heapify(heap)
