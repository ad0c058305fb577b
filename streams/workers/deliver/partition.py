"""The deliveries of one partition that this process owns: states in memory, each change durable before its effects."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import structlog
from msgspec import ValidationError

from schemas import MalformedRecord, Serializer
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, boot_seconds, utc_now_us
from streams.crm.shadow import shadowed
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    Answer,
    LookupResult,
    NotSent,
    OutcomeUnknown,
    PortalBlocked,
    RetryLater,
    metric_label,
)
from streams.delivery.commands import begin_from_command
from streams.delivery.events import (
    Answered,
    Arrived,
    CommandReceived,
    DeadLetter,
    Due,
    Event,
    LookedUp,
    LookUp,
    Overdue,
    PausePortal,
    PortalBack,
    Recovered,
    Send,
    SlowPortal,
)
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Plan
from streams.delivery.record import Delivery
from streams.delivery.transitions import Transition, overdue
from streams.topics import CALL_RESULTS
from streams.workers.deliver import metrics
from streams.workers.deliver.batched_log import LONGEST_BATCH, SCHEMA, BatchedLog, Log
from streams.workers.deliver.completed import CompletedIndex, LostDelivery
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.progress import OffsetTracker
from streams.workers.deliver.restore import LogRestore

Written = asyncio.Future[Mapping[bytes, int]]
"""Ends when a state is in the log."""

LOOKUP_REQUESTS = 5
"""A lookup may last as long as so many requests: through the pages of a busy hour, at the portal's rate."""

_log = structlog.get_logger("deliver")


class DeliveryEscalation(Protocol):
    """What the worker does for its partitions."""

    async def give_up(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        """A delivery to the dead letters. Return when the brokers have it."""
        ...

    async def disable(self, lane: PortalQueue, why: str) -> None:
        """Close a portal that wants no more. Return when no restart forgets it."""
        ...


class PartitionDeliveries:
    """One partition. Nothing here awaits between reading a state and replacing it, so that events never interleave."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        lanes: Mapping[str, PortalQueue],
        serializer: Serializer,
        log: Log,
        office: DeliveryEscalation,
        *,
        position: int = 0,
        commands: int = 0,
    ) -> None:
        """`position`, `commands`: the offsets from which results and commands come."""
        self.name = name
        self._plan = plan
        self._lanes = lanes
        self._serializer = serializer
        self._log = BatchedLog(log, name)
        self._finished = CompletedIndex(log, serializer)
        self._takeover = LogRestore(serializer, self._finished, lanes)
        self._office = office
        self._open: dict[str, Delivery] = {}
        self._busy: set[str] = set()
        self._given_up = False
        self.results = OffsetTracker(position)
        self.commands = OffsetTracker(commands)

    # Taking over and giving up.

    def read(self, key: bytes, value: bytes | None, offset: int) -> None:
        """The next record of the log, from its beginning to its end; then `restore`."""
        self._takeover.read(key, value, offset)

    def restore(self, now: int) -> None:
        """Take up what was read; the log was fenced, before it was read, at `now`."""
        for delivery in self._takeover.open_deliveries():
            lane = self._lanes[delivery.portal]
            recovered = advance(delivery, Recovered(now), self._plan, lane.policy).delivery
            if recovered.final:
                self._keep(recovered)
                continue
            self._open[delivery.call_id] = recovered
            lane.put(self, recovered)

    @property
    def open_calls(self) -> int:
        """Calls that are not delivered, skipped or given up."""
        return len(self._open)

    def give_up(self) -> None:
        """Begin nothing more."""
        self._given_up = True

    async def close(self) -> None:
        """Write what waits and give the log up."""
        await self._log.close()

    def abandon(self) -> None:
        """Stop writing at once."""
        self._log.abandon()

    # Results and commands.

    async def fold(self, offset: int, arrived: Arrived | None) -> None:
        """A result into its call's delivery; None: the record at this offset is no result for us."""
        written: Written | None = None
        if arrived is not None and not self._finished.knows(arrived.call_id, arrived.version):
            try:
                written = self._arrive(arrived, await self._known(arrived.call_id))
            except (LostDelivery, MalformedRecord, ValidationError) as error:
                _log.error("a later version is left out", call=arrived.call_id, error=str(error))
        await self._took(self.results, offset, written)

    async def order(self, offset: int, call_id: str, event: CommandReceived | None) -> None:
        """A command into its call's delivery; None: the record at this offset is no command for us."""
        written: Written | None = None
        if event is not None:
            try:
                written = self._order(call_id, event, await self._known(call_id))
            except (LostDelivery, MalformedRecord, ValidationError) as error:
                _log.error("an operator's command is left out", call=call_id, error=str(error))
        await self._took(self.commands, offset, written)

    async def _took(self, reading: OffsetTracker, offset: int, written: "Written | None") -> None:
        reading.took(offset, written)
        if self._log.waiting > 2 * LONGEST_BATCH:
            await reading.caught_up()

    def _arrive(self, arrived: Arrived, known: Delivery | None) -> "Written | None":
        lane = self._lanes[arrived.portal]
        if known is None:
            delivery = begin(arrived, self._plan)
        else:
            if known.portal != arrived.portal:
                return None  # begun at another portal: it stays there
            delivery = advance(known, arrived, self._plan, lane.policy).delivery
            if delivery is known:
                return None
        if lane.portal.shadow and (known is None or known.final):
            event = shadowed(lane.client, delivery, self._result(delivery), arrived.now) if delivery.result else None
            delivery = advance(delivery, event, self._plan, lane.policy).delivery if event else delivery
        return self._keep_on(delivery, lane)

    def _order(self, call_id: str, event: CommandReceived, known: Delivery | None) -> "Written | None":
        order = event.command
        tell = _log.bind(call=call_id, action=order.action.value, by=order.by)
        if known is None:
            delivery = begin_from_command(event, self._plan)
            if delivery is None:
                tell.warning("an operator's command finds no such delivery; nothing is done")
                return None
        else:
            lane = self._lanes.get(known.portal)
            if lane is None:
                tell.warning("an operator's command is for a portal that is not served", portal=known.portal)
                return None
            if event.arrived is not None and event.arrived.portal != known.portal:
                event = replace(event, arrived=None)  # begun at another portal: it stays there
            delivery = advance(known, event, self._plan, lane.policy).delivery
            if delivery is known:
                return None  # read before
        metrics.COMMANDS.labels(delivery.crm, order.action.value).inc()
        before = "unknown" if known is None else known.state.value
        tell.info(
            "an operator's command is carried out", portal=delivery.portal, before=before, now=delivery.state.value
        )
        return self._keep_on(delivery, self._lanes[delivery.portal])

    def _keep_on(self, delivery: Delivery, lane: PortalQueue) -> "Written":
        written = self._keep(delivery)
        if delivery.call_id not in self._busy:
            lane.put(self, delivery)
        return written

    async def _known(self, call_id: str) -> Delivery | None:
        """What is known of a call now; the log is asked where that is over."""
        while (delivery := self._open.get(call_id)) is None:
            mark = self._finished.mark(call_id)
            delivery = await self._finished.whole(call_id)
            if call_id not in self._open and self._finished.mark(call_id) in (mark, None):
                break  # nothing came in between
        return delivery

    def remembers(self, call_id: str) -> bool:
        """Whether the call was seen before."""
        return call_id in self._open or call_id in self._finished

    def _keep(self, delivery: Delivery) -> "Written":
        written = self._log.put(delivery.call_id.encode(), self._serializer.encode(SCHEMA, delivery.record()))
        if delivery.final:
            self._open.pop(delivery.call_id, None)
            self._finished.add(delivery, written)
            metrics.FINISHED.labels(delivery.crm, delivery.portal, delivery.state.value).inc()
        else:
            self._finished.remove(delivery.call_id)
            self._open[delivery.call_id] = delivery
        return written

    def forget(self, before: int) -> int:
        """Drop what ended before a time, with tombstones; how many."""
        old = self._finished.forget(before)
        for call_id in old:
            self._log.put(call_id.encode(), None)
        return len(old)

    # Work for one call.

    def wants(self, call_id: str, now: int) -> bool:
        """See DeliverySource."""
        delivery = self._open.get(call_id)
        if delivery is None or call_id in self._busy or self._given_up:
            return False
        return delivery.due_at is not None and delivery.due_at <= now

    async def work(self, call_id: str, lane: PortalQueue) -> None:
        """See DeliverySource."""
        if not self.wants(call_id, utc_now_us()):
            lane.gate.unused()
            return
        self._busy.add(call_id)
        requested = False
        try:
            delivery = self._open[call_id]
            asked = self._plan.with_batch_step(delivery) if lane.crowded else delivery
            request = lane.client.request(asked, self._result(delivery))
            began = boot_seconds()
            due = Due(utc_now_us(), request.sent, request.status, request.text, request.step, request.no_user)
            outcome = await self._apply(delivery, due, lane)
            until = began + lane.policy.request_limit_us / MICROS_PER_SECOND
            for effect in outcome.effects:
                match effect:
                    case Send():
                        requested = True
                        answer = await self._send(outcome.delivery, until, lane)
                        self._told(lane, answer)
                        event: Event = Answered(utc_now_us(), effect.attempt, answer, random.random())
                        await self._follow(call_id, event, lane)
                    case LookUp():
                        requested = True
                        ends = boot_seconds() + LOOKUP_REQUESTS * lane.policy.request_limit_us / MICROS_PER_SECOND
                        sighting = await lane.client.look_up(outcome.delivery, ends)
                        self._told(lane, sighting)
                        event = LookedUp(utc_now_us(), effect.attempt, sighting, random.random())
                        await self._follow(call_id, event, lane)
        finally:
            self._busy.discard(call_id)
            if not requested:
                lane.gate.unused()
            if not self._given_up and (latest := self._open.get(call_id)) is not None:
                lane.put(self, latest)

    def bring_back(self, call_id: str) -> None:
        """See DeliverySource."""
        delivery = self._open.get(call_id)
        if delivery is None or call_id in self._busy:
            return
        lane = self._lanes[delivery.portal]
        back = advance(delivery, PortalBack(utc_now_us()), self._plan, lane.policy).delivery
        if back is not delivery:
            self._keep(back)
            lane.put(self, back)

    async def give_up_overdue(self, now: int) -> None:
        """Give up the calls whose deadline is over and whose portal does not take calls."""
        for delivery in list(self._open.values()):
            lane = self._lanes[delivery.portal]
            late = lane.gate.failing and overdue(delivery, now, lane.policy)
            if not late or delivery.call_id in self._busy or self._given_up:
                continue
            self._busy.add(delivery.call_id)
            try:
                await self._apply(delivery, Overdue(now), lane)
            finally:
                self._busy.discard(delivery.call_id)

    async def _send(self, delivery: Delivery, until: float, lane: PortalQueue) -> Answer:
        """Nothing goes out any more to a portal that turned away what went out before."""
        if lane.gate.disabled:
            return NotSent(f"its portal is disabled: {lane.gate.paused_for}")
        return await lane.client.send(delivery, until)

    async def _follow(self, call_id: str, event: Event, lane: PortalQueue) -> None:
        """What came of a request; nothing, where a command ended the delivery meanwhile."""
        if (latest := self._open.get(call_id)) is not None:
            await self._apply(latest, event, lane)

    async def _apply(self, delivery: Delivery, event: Event, lane: PortalQueue) -> Transition:
        """One event through the machine: dead letters first, then the state, both durable on return."""
        outcome = advance(delivery, event, self._plan, lane.policy)
        letters = [effect for effect in outcome.effects if isinstance(effect, DeadLetter)]
        for letter in letters:
            await self._office.give_up(outcome.delivery, letter.reason, letter.why)
        if letters:
            # A version may have come meanwhile: the machine decides again, about what is known now.
            delivery = self._open.get(delivery.call_id, delivery)
            outcome = advance(delivery, event, self._plan, lane.policy)
        if outcome.delivery is not delivery:
            await self._keep(outcome.delivery)
        for effect in outcome.effects:
            if isinstance(effect, SlowPortal):
                lane.gate.failed(event.now, effect.why, effect.until)
            elif isinstance(effect, PausePortal):
                if effect.for_good:
                    await self._office.disable(lane, effect.why)
                else:
                    lane.gate.pause(event.now, effect.why)
        return outcome

    def _told(self, lane: PortalQueue, said: Answer | LookupResult) -> None:
        """What an answer says of the portal as a whole; what slows or pauses it comes as an effect."""
        metrics.ANSWERS.labels(lane.portal.crm, lane.portal.name, metric_label(said)).inc()
        if isinstance(said, OutcomeUnknown):
            lane.gate.failed(utc_now_us(), said.why, said.not_before)
        elif isinstance(said, PortalBlocked) and said.for_good:
            lane.gate.disable(said.why)  # at once: that no restart forgets it comes after the call's own state
        elif isinstance(said, PortalBlocked) or (isinstance(said, RetryLater) and said.whole_portal):
            return
        elif lane.gate.succeeded():
            lane.portal_is_back()

    def _result(self, delivery: Delivery) -> CallResult:
        """The result that is to be sent; it was read before, when it was folded."""
        return CallResult.from_record(self._serializer.decode(delivery.result, CALL_RESULTS.schema))
