"""A partition of the delivery log while this process owns it: states in memory, every change durable in the log."""

import asyncio
from collections.abc import Iterable
from typing import Any

from faust.types import TP

from schemas.registry import Serializer
from streams.crm.delivery import Outcome, advance, begin
from streams.crm.events import Arrived, Event
from streams.crm.plan import Plan, Policy
from streams.crm.record import Delivery
from streams.workers.faust_overrides import Consumer
from streams.workers.fenced_log import Fenced, FencedLog, Record
from streams.workers.hard_exit import hard_exit
from streams.workers.outbox import Outbox

SCHEMA = "delivery"
_ATTEMPTS = 5


class Log:
    """Appends to a fenced log, many records to a transaction, in order."""

    def __init__(self, log: FencedLog) -> None:
        self._log = log
        self._pending: list[Record] = []
        self._appended = 0
        self._written = 0
        self._changed = asyncio.Condition()
        self._ending = False
        self._loop = asyncio.create_task(self._run())

    def append(self, key: bytes, value: bytes | None) -> None:
        """Write a record soon; `durable` waits for it."""
        self._pending.append((key, value))
        self._appended += 1

    async def durable(self) -> None:
        """Everything appended before this call is in the log."""
        wanted = self._appended
        async with self._changed:
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._written >= wanted)

    async def close(self) -> None:
        """Write what is pending, and end."""
        self._ending = True
        async with self._changed:
            self._changed.notify_all()
        await self._loop
        await self._log.close()

    async def _run(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._pending or self._ending)
            if not self._pending:
                return
            batch, self._pending = self._pending, []
            await self._write(batch)
            async with self._changed:
                self._written += len(batch)
                self._changed.notify_all()

    async def _write(self, batch: list[Record]) -> None:
        try:
            for attempt in range(_ATTEMPTS):
                if await self._log.write(batch):
                    return
                await asyncio.sleep(2.0**attempt / 4)
        except Fenced as error:
            hard_exit(f"another process owns {self._log.topic}/{self._log.partition} now", error)
        except Exception as error:  # whatever it is: states that are not in the log must not be acted on
            hard_exit(f"{self._log.topic}/{self._log.partition} cannot be written", error)
        hard_exit(f"{self._log.topic}/{self._log.partition} does not take records")


class HeldDeliveries:
    """The deliveries of one partition of results."""

    def __init__(self, tp: TP, log: FencedLog, serializer: Serializer, position: int) -> None:
        self.tp = tp
        self.position = position
        """Offset of the next result to take."""
        self.closed = False
        self.calls: dict[str, Delivery] = {}
        self.under_way: set[asyncio.Task[None]] = set()
        self._final: dict[str, bytes] = {}
        self._log = Log(log)
        self._serializer = serializer
        self._committed = -1

    def load(self, records: Iterable[bytes]) -> list[Delivery]:
        """Take up what the log holds; the deliveries that are not over are returned."""
        for value in records:
            self._keep(Delivery.from_record(self._decode(value)), value)
        return [delivery for delivery in self.calls.values() if not delivery.final]

    def get(self, call_id: str) -> Delivery | None:
        """A call's delivery; finished ones are kept as bytes."""
        found = self.calls.get(call_id)
        if found is None and (value := self._final.get(call_id)) is not None:
            return Delivery.from_record(self._decode(value))
        return found

    def arrive(self, event: Arrived, plan: Plan, policy: Policy) -> Delivery | None:
        """Take a result in; None where it changes nothing."""
        known = self.get(event.call_id)
        if known is None:
            fresh = begin(event, plan)
            self.put(fresh)
            return fresh
        after = advance(known, event, plan, policy).delivery
        if after is known:
            return None
        self.put(after)
        return after

    def apply(self, call_id: str, event: Event, plan: Plan, policy: Policy) -> Outcome:
        """Advance a call; the new state is on its way into the log. Dead letters must be durable before `put`."""
        known = self.calls[call_id]
        return advance(known, event, plan, policy)

    def put(self, delivery: Delivery) -> None:
        """The state from now on."""
        value = self._serializer.encode(SCHEMA, delivery.record())
        self._log.append(delivery.call_id.encode(), value)
        self._keep(delivery, value)

    def forget(self, older_than: int) -> None:
        """Drop finished deliveries that were last touched before; their results are off the topic by then."""
        for call_id, value in list(self._final.items()):
            if Delivery.from_record(self._decode(value)).updated_at < older_than:
                del self._final[call_id]
                self._log.append(call_id.encode(), None)

    async def durable(self) -> None:
        """Everything put so far is in the log."""
        await self._log.durable()

    async def commit(self, group: Consumer, outbox: Outbox) -> None:
        """Commit as far as every state and dead letter is durable."""
        position = self.position
        if position == self._committed or self.closed:
            return
        await self.durable()
        await outbox.drain()
        if await group.commit_marked(self.tp, position, ""):
            self._committed = position

    async def give_up(self, group: Consumer, outbox: Outbox, limit_seconds: float) -> None:
        """Wait a little for requests under way, then write, commit and close. What is still out becomes unsure."""
        try:
            async with asyncio.timeout(limit_seconds):
                if self.under_way:
                    await asyncio.wait(set(self.under_way), timeout=limit_seconds / 2)
                await self.commit(group, outbox)
        except TimeoutError:
            pass  # its next owner takes up from the log
        self.closed = True
        await self._log.close()

    def _keep(self, delivery: Delivery, value: bytes) -> None:
        if delivery.final:
            self.calls.pop(delivery.call_id, None)
            self._final[delivery.call_id] = value
        else:
            self._final.pop(delivery.call_id, None)
            self.calls[delivery.call_id] = delivery

    def _decode(self, value: bytes) -> dict[str, Any]:
        return self._serializer.decode(value, SCHEMA)
