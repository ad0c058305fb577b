"""A portal's queue: its calls, of all partitions that this process owns, as their turn comes (due_calls.py)."""

import asyncio
from collections import deque
from typing import Protocol

import structlog

from streams.clock import MICROS_PER_SECOND, UtcMicros, utc_now_us
from streams.crm.shared.client import CrmClient
from streams.delivery.follow_ups import due_at_portal, waits_for_portal
from streams.delivery.plan import Policy
from streams.delivery.record import Delivery
from streams.kafka.hard_exit import hard_exit
from streams.settings import PortalSettings
from streams.workers.deliver import metrics
from streams.workers.deliver.due_calls import Due, DueCalls
from streams.workers.deliver.throttle import PortalThrottle

LONGEST_SLEEP_SECONDS = 5.0
"""The wall clock may be set while the queue sleeps."""

_log = structlog.get_logger("deliver")

BACKLOG = 50
"""Waiting calls. Below this, batching saves less than a minute."""


class DeliverySource(Due, Protocol):
    """The owner of a partition's deliveries, as the queue sees it."""

    async def attempt(self, call_id: str, queue: "PortalQueue") -> None:
        """Make one request or lookup for a call, after the queue's throttle admitted it."""
        ...

    def resume_paused(self, call_id: str) -> None:
        """Make a paused call due: its portal takes calls again, or is to be tried."""
        ...


class PortalQueue:
    """Starts attempts for due calls, as their portal's throttle admits; a portal that is down delays no other."""

    def __init__(self, portal: PortalSettings, client: CrmClient, follow_up_us: int = 0) -> None:
        """`follow_up_us`: so long at most may be looked for what follows a call."""
        self.portal = portal
        self.client = client
        self.policy = Policy(
            request_limit_us=int(portal.request_timeout_seconds * MICROS_PER_SECOND),
            settle_us=int(portal.settle_seconds * MICROS_PER_SECOND),
            deadline_us=int(portal.deadline_hours * 3600 * MICROS_PER_SECOND),
            on_revision=portal.on_revision,
            follow_up_us=follow_up_us,
        )
        self.throttle = PortalThrottle(portal)
        client.pace = self.throttle.pace
        self._calls = DueCalls[DeliverySource]()
        self._paused: deque[tuple[DeliverySource, str]] = deque()
        self._changed = asyncio.Event()
        self._free_slots = asyncio.Semaphore(portal.parallel)
        self._attempts: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._dispatch())
        metrics.SHADOW.labels(portal.crm, portal.name).set(portal.shadow)
        if portal.shadow:
            _log.warning("portal is a shadow: what it would get is recorded, nothing is sent", portal=portal.name)

    @property
    def waiting(self) -> int:
        """The number of calls in the queue."""
        return len(self._calls) + len(self._paused)

    @property
    def backlogged(self) -> bool:
        """Whether so many calls wait that one request a call is to be made, where the CRM can do that."""
        wanted = self.portal.batch
        return wanted == "always" or (wanted == "auto" and self.waiting > BACKLOG)

    def schedule(self, source: DeliverySource, delivery: Delivery) -> None:
        """Queue a delivery for when it is due, or until its portal is back; a shadow's deliveries are left out."""
        if self.portal.shadow:
            return
        due = due_at_portal(delivery, self.client.plan)
        if waits_for_portal(delivery):
            self._paused.append((source, delivery.call_id))
        if due is not None:
            self._calls.add(source, delivery, *due)
        self._changed.set()

    def drop_partitions(self, sources: frozenset[DeliverySource]) -> None:
        """Forget the calls of partitions that are released."""
        self._calls.drop(sources)
        self._paused = deque(entry for entry in self._paused if entry[0] not in sources)

    def try_now(self) -> None:
        """Try one call at once: the cause of the portal's pause may be mended."""
        self.throttle.try_now()
        self._changed.set()

    def resume_paused(self) -> None:
        """Make all paused calls due: the portal takes calls again."""
        while self._paused:
            source, call_id = self._paused.popleft()
            source.resume_paused(call_id)

    async def stop(self) -> None:
        """Start no more attempts."""
        self._loop.cancel()
        await asyncio.wait([self._loop])

    async def finish_attempts(self, limit_seconds: float) -> None:
        """Wait for the attempts under way, then cut off those that are left."""
        attempts = set(self._attempts)
        if attempts:
            await asyncio.wait(attempts, timeout=limit_seconds)
        for task in attempts:
            task.cancel()
        if attempts:
            await asyncio.wait(attempts)

    async def _dispatch(self) -> None:
        try:
            while True:
                await self._free_slots.acquire()
                started = False
                try:
                    started = await self._start_next()
                finally:
                    if not started:
                        self._free_slots.release()
        except Exception as error:  # whatever the cause: calls would wait for ever
            hard_exit(f"the queue of portal {self.portal.name} broke", error)

    async def _start_next(self) -> bool:
        now = utc_now_us()
        first = self._calls.next_due(now)
        if self._paused and (first is None or first > now) and not self.throttle.closed_for_us(now):
            source, call_id = self._paused.popleft()
            source.resume_paused(call_id)  # as a trial
            first = self._calls.next_due(now)
        self._changed.clear()
        wait_us = self._wait_us(first, now)
        if wait_us > 0 or not self.throttle.admits(now):
            await self._sleep(wait_us or MICROS_PER_SECOND / 5)
            return False
        await self.throttle.pace()
        now = utc_now_us()
        turn = self._calls.take(now)
        if turn is None or not turn[0].is_due(turn[1], now):
            self.throttle.not_used()
            return False
        source, call_id = turn
        task = asyncio.create_task(source.attempt(call_id, self))
        self._attempts.add(task)
        task.add_done_callback(self._attempt_ended)
        return True

    def _wait_us(self, first: UtcMicros | None, now: UtcMicros) -> float:
        """The time until the first call is due and the throttle is open."""
        wait = float("inf") if first is None else first - now
        if self._paused:
            wait = min(wait, LONGEST_SLEEP_SECONDS * MICROS_PER_SECOND)
        return max(0, self.throttle.closed_for_us(now), wait)

    async def _sleep(self, micros: float) -> None:
        try:
            async with asyncio.timeout(min(LONGEST_SLEEP_SECONDS, micros / MICROS_PER_SECOND)):
                await self._changed.wait()
        except TimeoutError:
            return

    def _attempt_ended(self, task: "asyncio.Task[None]") -> None:
        self._attempts.discard(task)
        self._free_slots.release()
        self._changed.set()
        if task.cancelled():  # cut off, maybe before its first step: no answer will end the throttle's trial
            self.throttle.not_used()
        elif (error := task.exception()) is not None:
            hard_exit(f"a delivery to portal {self.portal.name} broke", error)
