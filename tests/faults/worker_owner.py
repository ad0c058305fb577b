"""A delivery worker in this process: the real queue, throttle, client and partition; log and topic in memory.

It can be killed (nothing of it runs any more) and stopped (everything that it does to the outside waits) at named
points of a call's delivery, as SIGKILL and SIGSTOP do to a process at points that a test cannot hit from outside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NoReturn
from weakref import WeakSet

from schemas import Serializer, own_header
from streams.calls.differences import compared_hash
from streams.calls.result import CallResult
from streams.clock import BootSeconds, utc_now_us
from streams.crm.shared.client import CrmClient, Pace, Request
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import Answer, LookupResult
from streams.delivery.events import Arrived
from streams.delivery.record import Delivery, FollowUp, State
from streams.kafka.fenced_log import Headers, StoredRecord
from streams.settings import PortalSettings
from streams.workers.deliver.batched_log import SCHEMA
from streams.workers.deliver.intake import FollowUps
from streams.workers.deliver.partition import PartitionDeliveries
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.preparations import Preparations, Preparer
from tests.faults.fenced_memory import PartitionLog, Writer

POINTS = ("intent", "send", "answered", "kept", "look_up", "looked_up")
"""Before the intent is durable; then before its bytes go out; with the answer in hand; with the answer durable; before
and after a lookup."""

OWNER: ContextVar["Owner | None"] = ContextVar("owner", default=None)
"""The owner of the running task."""

AtPoint = Callable[["Owner", str, str], Awaitable[None]]
"""Awaited with the owner, the point and the step."""


class ProcessEnded(asyncio.CancelledError):
    """Raised where the process would be gone: for its tasks as if they were cancelled."""


def end_process() -> NoReturn:
    """In place of the real end of a process, for hard_exit."""
    owner = OWNER.get()
    if owner is None:
        raise AssertionError("hard_exit outside of every owner")
    owner.kill()
    raise ProcessEnded


def task_factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
    """Make tasks that their owner knows, so that its end can cancel them."""
    task = asyncio.Task(coro, loop=loop, **options)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks.add(task)
        if not owner.alive:
            task.cancel()
    return task


class Topic:
    """One partition of call results and what its group committed."""

    def __init__(
        self, serializer: Serializer, portal: PortalSettings, follow_ups: FollowUps = lambda _result, _portal: {}
    ) -> None:
        self._serializer = serializer
        self._follow_ups = follow_ups
        self._portal = portal
        self.records: list[Arrived] = []
        self.committed = 0
        self.more = asyncio.Event()

    def produce(self, result: CallResult) -> None:
        """One more result."""
        value = self._serializer.encode("call_result", result.record())
        arrived = Arrived(
            now=utc_now_us(),
            call_id=result.call_id,
            portal=self._portal.name,
            version=result.version,
            outcome_hash=result.outcome_hash,
            compared_hash=compared_hash(result),
            result=value,
            result_schema=own_header("call_result").decode(),
            call_ended_at=result.ended_at,
            follow_ups=self._follow_ups(result, self._portal),
            source=("call-results", 0, len(self.records)),
        )
        self.records.append(arrived)
        self.more.set()


class Owner:
    """Owns the partition until the next one fences it."""

    def __init__(
        self,
        log: PartitionLog,
        topic: Topic,
        serializer: Serializer,
        at_point: AtPoint,
        preparer: Preparer | None = None,
    ) -> None:
        self._preparer = preparer
        self._log = log
        self._topic = topic
        self._serializer = serializer
        self._at_point = at_point
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.alive = True
        self.running = asyncio.Event()
        self.running.set()
        self.dead_letters: list[tuple[str, str]] = []
        self.client: CrmClient | None = None
        self._closing: asyncio.Task[None] | None = None

    async def start(self, portal: PortalSettings, client: CrmClient) -> None:
        """Fence the log, read it, restore the partition, begin to take results."""
        started = asyncio.get_running_loop().create_task(self._start(portal, client))
        await started

    async def _start(self, portal: PortalSettings, client: CrmClient) -> None:
        OWNER.set(self)
        self.client = client
        writer = self._log.fence()
        queue = PortalQueue(portal, _WatchedClient(self, client))
        self.partition = PartitionDeliveries(
            "deliveries/0",
            client.plan,
            {portal.name: queue},
            self._serializer,
            _WatchedLog(self, writer, self._serializer),
            self,
            results_offset=self._topic.committed,
            preparations=Preparations() if self._preparer is not None else None,
            preparer=self._preparer,
        )
        writer.scan(self.partition.read)
        self.partition.restore(utc_now_us())
        self.queue = queue
        self._feeding = asyncio.create_task(self._feed(writer))

    async def _feed(self, writer: Writer) -> None:
        while True:
            await self.running.wait()
            while self.partition.results.position < len(self._topic.records):
                await self.partition.take_result(
                    self.partition.results.position, self._topic.records[self.partition.results.position]
                )
            if not writer.fenced:
                self._topic.committed = max(self._topic.committed, self.partition.results.durable)
            self._topic.more.clear()
            try:
                async with asyncio.timeout(0.1):
                    await self._topic.more.wait()
            except TimeoutError:
                pass

    async def reach(self, point: str, step: str) -> None:
        """A point of a call's delivery: here the owner may be killed or stopped."""
        await self._at_point(self, point, step)
        await self.running.wait()
        if not self.alive:
            await asyncio.Event().wait()  # its tasks are cancelled

    async def send_to_dead_letters(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        """See DeliveryEscalation."""
        await self.running.wait()
        self.dead_letters.append((delivery.call_id, f"{reason.code}: {why}"))

    async def disable_portal(self, queue: PortalQueue, why: str) -> None:
        """See DeliveryEscalation."""
        await self.running.wait()
        queue.throttle.disable(why)

    def stop(self) -> None:
        """Stop, as by SIGSTOP."""
        self.running.clear()

    def resume(self) -> None:
        """Go on, as by SIGCONT."""
        self.running.set()

    def kill(self) -> None:
        """End, as by SIGKILL: the connections close, no task goes on."""
        if not self.alive:
            return
        self.alive = False
        token = OWNER.set(None)
        if self.client is not None:
            self._closing = asyncio.get_running_loop().create_task(self.client.close())
        OWNER.reset(token)
        for task in list(self.tasks):
            task.cancel()

    async def close(self) -> None:
        """Kill it and wait until its connections are closed."""
        self.kill()
        if self._closing is not None:
            await self._closing
        if tasks := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(tasks, timeout=5)


class _WatchedClient:
    """The client between two points."""

    def __init__(self, owner: Owner, client: CrmClient) -> None:
        self._owner = owner
        self._client = client
        self.plan = client.plan
        self.fingerprint = client.fingerprint

    @property
    def pace(self) -> Pace:
        return self._client.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._client.pace = pace

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        return self._client.request(delivery, result)

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        await self._owner.reach("send", delivery.step)
        answer = await self._client.send(delivery, until)
        await self._owner.reach("answered", delivery.step)
        return answer

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        await self._owner.reach("look_up", delivery.step)
        sighting = await self._client.look_up(delivery, until)
        await self._owner.reach("looked_up", delivery.step)
        return sighting

    async def close(self) -> None:
        await self._client.close()


class _WatchedLog:
    """The log between two points."""

    def __init__(self, owner: Owner, writer: Writer, serializer: Serializer) -> None:
        self._owner = owner
        self._writer = writer
        self._serializer = serializer

    async def read_at(self, offset: int) -> StoredRecord | None:
        return await self._writer.read_at(offset)

    async def write(
        self,
        records: Sequence[tuple[bytes, bytes | None]],
        *,
        headers: Headers = (),
        headers_by_key: Mapping[bytes, Headers] = MappingProxyType({}),
    ) -> Sequence[int] | None:
        states = [Delivery.from_record(self._serializer.decode(value, SCHEMA)) for _, value in records if value]
        parts: list[Delivery | FollowUp] = [*states, *(each for state in states for each in state.follow_ups)]
        for part in parts:
            if part.state is State.INTENT:
                await self._owner.reach("intent", part.step)
        await self._owner.running.wait()
        written = await self._writer.write(records, headers=headers, headers_by_key=headers_by_key)
        for part in parts:
            if written and part.intent is None and part.attempt:
                await self._owner.reach("kept", part.history[-1].step if part.history else part.step)
        return written

    async def close(self) -> None:
        await self._writer.close()
