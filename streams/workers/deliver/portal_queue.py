"""A portal's calls, of all partitions that this process holds, in the order in which they are due."""

import asyncio
import heapq
import itertools
from collections import deque
from typing import Protocol

from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.crm.client import CrmClient
from streams.delivery.plan import Policy
from streams.delivery.record import Delivery, State
from streams.kafka.hard_exit import hard_exit
from streams.settings import PortalSettings
from streams.workers.deliver.throttle import PortalThrottle

LONGEST_SLEEP = 5.0
"""Seconds. The wall clock may be set while waiting."""


CROWD = 50
"""Waiting calls. What is below is gone in a minute either way."""


class DeliverySource(Protocol):
    """What holds a partition's deliveries."""

    def wants(self, call_id: str, now: int) -> bool:
        """Whether the call is due and nobody works at it."""
        ...

    async def work(self, call_id: str, lane: "PortalQueue") -> None:
        """One request for a call."""
        ...

    def bring_back(self, call_id: str) -> None:
        """A paused call's portal takes calls again, or is to be tried."""
        ...


class PortalQueue:
    """Starts work for due calls, as their portal's gate lets it; a portal that is down delays no other lane."""

    def __init__(self, portal: PortalSettings, client: CrmClient) -> None:
        self.portal = portal
        self.client = client
        self.policy = Policy(
            request_limit_us=int(portal.request_timeout_seconds * MICROS_PER_SECOND),
            settle_us=int(portal.settle_seconds * MICROS_PER_SECOND),
            deadline_us=int(portal.deadline_hours * 3600 * MICROS_PER_SECOND),
            on_revision=portal.on_revision,
        )
        self.gate = PortalThrottle(portal)
        client.pace = self.gate.pace
        self._due: list[tuple[int, int, DeliverySource, str]] = []
        self._order = itertools.count()
        self._paused: deque[tuple[DeliverySource, str]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Semaphore(portal.parallel)
        self._working: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._dispatch())

    @property
    def waiting(self) -> int:
        """Calls in the lane."""
        return len(self._due) + len(self._paused)

    @property
    def crowded(self) -> bool:
        """More calls wait than the portal takes at once: one request a call, where the CRM can do that."""
        wanted = self.portal.bitrix24_batch
        return wanted == "always" or (wanted == "auto" and self.waiting > CROWD)

    def put(self, desk: DeliverySource, delivery: Delivery) -> None:
        """Remember when a delivery is due, or that it waits for its portal; a shadow sends nothing."""
        if self.portal.shadow:
            return
        due = delivery.due_at
        if delivery.state is State.PAUSED:
            self._paused.append((desk, delivery.call_id))
        elif due is not None:
            # A call that is begun goes before new ones: what is registered is to be finished soon.
            first = -1 if delivery.state is State.REGISTERED else due
            heapq.heappush(self._due, (first, next(self._order), desk, delivery.call_id))
        self._changed.set()

    def leave(self, desks: frozenset[DeliverySource]) -> None:
        """Forget the calls of these desks."""
        self._due = [entry for entry in self._due if entry[2] not in desks]
        heapq.heapify(self._due)
        self._paused = deque(entry for entry in self._paused if entry[0] not in desks)

    def try_now(self) -> None:
        """What kept the portal from taking calls may be mended: try one."""
        self.gate.try_now()
        self._changed.set()

    def portal_is_back(self) -> None:
        """Bring all paused calls back."""
        while self._paused:
            desk, call_id = self._paused.popleft()
            desk.bring_back(call_id)

    async def stop(self) -> None:
        """Start nothing more."""
        self._loop.cancel()
        await asyncio.wait([self._loop])

    async def _dispatch(self) -> None:
        try:
            while True:
                await self._room.acquire()
                started = False
                try:
                    started = await self._start_next()
                finally:
                    if not started:
                        self._room.release()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever it is: calls would wait for ever
            hard_exit(f"the lane of portal {self.portal.name} broke", error)

    async def _start_next(self) -> bool:
        now = utc_now_us()
        while self._due and self._due[0][0] <= now and not self._due[0][2].wants(self._due[0][3], now):
            heapq.heappop(self._due)
        if self._paused and not (self._due and self._due[0][0] <= now) and not self.gate.closed_for(now):
            desk, call_id = self._paused.popleft()
            desk.bring_back(call_id)  # as a trial
        self._changed.clear()
        wait = self._wait(now)
        if wait > 0 or not self.gate.admits(now):
            await self._sleep(wait or MICROS_PER_SECOND / 5)
            return False
        await self.gate.pace()
        now = utc_now_us()
        if not self._due or self._due[0][0] > now:
            self.gate.unused()
            return False
        _, _, desk, call_id = heapq.heappop(self._due)
        if not desk.wants(call_id, now):
            self.gate.unused()
            return False
        task = asyncio.create_task(desk.work(call_id, self))
        self._working.add(task)
        task.add_done_callback(self._worked)
        return True

    def _wait(self, now: int) -> float:
        """Microseconds until the first call is due and the gate is open."""
        first = self._due[0][0] - now if self._due else float("inf")
        return max(
            0, self.gate.closed_for(now), first if not self._paused else min(first, LONGEST_SLEEP * MICROS_PER_SECOND)
        )

    async def _sleep(self, microseconds: float) -> None:
        try:
            async with asyncio.timeout(min(LONGEST_SLEEP, microseconds / MICROS_PER_SECOND)):
                await self._changed.wait()
        except TimeoutError:
            return

    def _worked(self, task: "asyncio.Task[None]") -> None:
        self._working.discard(task)
        self._room.release()
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            hard_exit(f"a delivery to portal {self.portal.name} broke", error)

    async def idle(self, limit_seconds: float) -> None:
        """Wait for the requests under way, then cut off those that are left."""
        working = set(self._working)
        if working:
            await asyncio.wait(working, timeout=limit_seconds)
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working)
