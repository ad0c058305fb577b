"""The deliveries of one partition that this process owns: results and commands in, due calls out to their portals."""

from collections.abc import Mapping
from dataclasses import replace

import structlog

from schemas import Serializer
from streams.clock import UtcMicros, utc_now_us
from streams.crm.shared.shadow import shadowed
from streams.delivery.commands import apply_command, begin_from_command
from streams.delivery.erasure import erased_where_over
from streams.delivery.events import Arrived, CommandReceived, Overdue, PortalBack, Recovered
from streams.delivery.follow_ups import due_at_portal, due_to_prepare
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Plan
from streams.delivery.record import Action, Delivery
from streams.delivery.transitions import overdue
from streams.workers.deliver import metrics
from streams.workers.deliver.attempt import AttemptRunner, DeliveryEscalation
from streams.workers.deliver.batched_log import Log, Written
from streams.workers.deliver.commit_mark import commit_mark
from streams.workers.deliver.completed import LostDelivery
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.preparations import Preparations, Preparer
from streams.workers.deliver.progress import OffsetTracker
from streams.workers.deliver.states import DeliveryStates

_log = structlog.get_logger("deliver")


class PartitionDeliveries:
    """One partition. Nothing here awaits between reading a state and replacing it, so that events never interleave."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        queues: Mapping[str, PortalQueue],
        serializer: Serializer,
        log: Log,
        escalation: DeliveryEscalation,
        *,
        results_offset: int = 0,
        commands_offset: int = 0,
        preparations: Preparations | None = None,
        preparer: Preparer | None = None,
    ) -> None:
        """`queues`: by the name of their portal; `results_offset`, `commands_offset`: where to begin; `preparations`
        and `preparer`: of local steps, None: they are not taken."""
        self.name = name
        self.states = DeliveryStates(name, log, serializer, queues)
        self.read = self.states.read
        """Takes the next record of the log, from its beginning to its end; then `restore`. See LogRestore."""
        self.results = OffsetTracker(results_offset)
        self.commands = OffsetTracker(commands_offset)
        self._plan = plan
        self._queues = queues
        self._attempts = AttemptRunner(plan, self.states, escalation)
        self._preparations = None if preparer is None else preparations
        self._preparer = preparer
        self._busy: set[str] = set()
        """Calls with an attempt under way."""
        self._preparing: set[str] = set()
        """Calls with a local step under way."""
        self._stopping = False
        self.log_since: UtcMicros = 0
        """The log was lost then: of calls that ended before, it need not know; 0: it was not."""

    # Taking over and releasing.

    def restore(self, now: UtcMicros) -> None:
        """Take up the deliveries that were read; the log was fenced, before it was read, at `now`.

        Raises UnreadableRecord.
        """
        for delivery in self.states.restored():
            queue = self._queues[delivery.portal]
            recovered = advance(delivery, Recovered(now), self._plan, queue.policy).delivery
            if recovered.over:
                self.states.store(recovered)
                continue
            self.states.adopt(recovered)
            self._schedule(recovered, queue)

    def log_kept_since(self, time: UtcMicros) -> None:
        """Note when the log was lost, for this worker and the next ones; 0: it was not."""
        self.log_since = time
        self.results.mark = commit_mark(time)

    @property
    def open_calls(self) -> int:
        """The number of calls that are not delivered, skipped or given up."""
        return self.states.unfinished

    @property
    def followed_calls(self) -> int:
        """The number of calls in the CRM that something is still to follow."""
        return self.states.followed

    def stop_starting(self) -> None:
        """Start no more attempts."""
        self._stopping = True

    async def close(self) -> None:
        """Write what is pending and close the log."""
        await self.states.close()

    def abandon(self) -> None:
        """Stop writing at once."""
        self.states.abandon()

    def remembers(self, call_id: str) -> bool:
        """Whether the call was seen before."""
        return self.states.remembers(call_id)

    def forget(self, before: UtcMicros) -> int:
        """Drop the deliveries that ended before a time, with tombstones; how many."""
        return self.states.forget(before)

    # Results and commands.

    async def take_result(self, offset: int, arrived: Arrived | None) -> None:
        """Take a result into its call's delivery; None: the record at this offset is not for this CRM's portals.

        Raises UnreadableRecord where what the log holds of the call cannot be read.
        """
        written: Written | None = None
        order = (0, 0) if arrived is None else (arrived.version, arrived.correction)
        if arrived is not None and not self.states.ended_with(arrived.call_id, order):
            try:
                written = self._with_result(arrived, await self.states.load(arrived.call_id))
            except LostDelivery as error:
                _log.error("a later version is left out", call=arrived.call_id, error=str(error))
        await self._taken(self.results, offset, written)

    async def take_command(self, offset: int, call_id: str, event: CommandReceived | None) -> None:
        """Apply a command to its call's delivery; None: the record at this offset is not for this CRM.

        Raises as `take_result`.
        """
        written: Written | None = None
        if event is not None:
            try:
                written = self._with_command(call_id, event, await self.states.load(call_id))
            except LostDelivery as error:
                _log.error("an operator's command is left out", call=call_id, error=str(error))
        await self._taken(self.commands, offset, written)

    async def _taken(self, tracker: OffsetTracker, offset: int, written: "Written | None") -> None:
        tracker.record_taken(offset, written)
        if self.states.backlogged:
            await tracker.wait_durable()

    def _with_result(self, arrived: Arrived, known: Delivery | None) -> "Written | None":
        queue = self._queues[arrived.portal]
        if known is None:
            delivery = begin(arrived, self._plan)
        else:
            if known.portal != arrived.portal:
                return None  # begun at another portal: it stays there
            delivery = advance(known, arrived, self._plan, queue.policy).delivery
            if delivery is known:
                return None
        if queue.portal.shadow and (known is None or known.final) and delivery.result:
            event = shadowed(queue.client, delivery, self.states.result_of(delivery), arrived.now)
            delivery = advance(delivery, event, self._plan, queue.policy).delivery
        return self._store_and_schedule(delivery, queue)

    def _with_command(self, call_id: str, event: CommandReceived, known: Delivery | None) -> "Written | None":
        command = event.command
        log = _log.bind(call=call_id, action=command.action.value, by=command.by)
        if known is None:
            delivery = begin_from_command(event, self._plan)
            if delivery is None:
                log.warning("an operator's command finds no such delivery; nothing is done")
                return None
        else:
            queue = self._queues.get(known.portal)
            if queue is None and command.action is Action.ERASE and known.over:
                log.info("an operator's command is carried out", portal=known.portal)
                return self.states.store(erased_where_over(apply_command(known, event, self._plan)))
            if queue is None:
                log.warning("an operator's command is for a portal that is not served", portal=known.portal)
                return None
            if event.arrived is not None and event.arrived.portal != known.portal:
                event = replace(event, arrived=None)  # begun at another portal: it stays there
            delivery = advance(known, event, self._plan, queue.policy).delivery
            if delivery is known:
                return None  # read before
        metrics.COMMANDS.labels(delivery.crm, command.action.value).inc()
        before = "unknown" if known is None else known.state.value
        log.info(
            "an operator's command is carried out", portal=delivery.portal, before=before, now=delivery.state.value
        )
        return self._store_and_schedule(delivery, self._queues[delivery.portal])

    def _store_and_schedule(self, delivery: Delivery, queue: PortalQueue) -> Written:
        written = self.states.store(delivery)
        self._schedule(delivery, queue)
        return written

    def _schedule(self, delivery: Delivery, queue: PortalQueue) -> None:
        """Queue what is due of a delivery; what is under way is queued by its own end."""
        if delivery.call_id not in self._busy:
            queue.schedule(self, delivery)
        due = None if queue.portal.shadow else due_to_prepare(delivery, self._plan)
        if due is not None and self._preparations is not None and delivery.call_id not in self._preparing:
            self._preparations.schedule(self, delivery.call_id, due[0])

    # Attempts.

    def is_due(self, call_id: str, now: UtcMicros) -> bool:
        """See DeliverySource."""
        return self._due_part(call_id, now) is not None

    def _due_part(self, call_id: str, now: UtcMicros) -> str | None:
        """The kind of the follow-up that a request is due for, empty for the call itself; None: none is due."""
        delivery = self.states.open.get(call_id)
        if delivery is None or call_id in self._busy or self._stopping:
            return None
        due = due_at_portal(delivery, self._plan)
        return due[1] if due is not None and due[0] <= now else None

    async def attempt(self, call_id: str, queue: PortalQueue) -> None:
        """See DeliverySource."""
        part = self._due_part(call_id, utc_now_us())
        if part is None:
            queue.throttle.not_used()
            return
        self._busy.add(call_id)
        try:
            await self._attempts.run(self.states.open[call_id], part, queue)
        finally:
            self._busy.discard(call_id)
            self._schedule_latest(call_id, queue)

    async def prepare(self, call_id: str) -> None:
        """See PreparationSource."""
        delivery, preparer = self.states.open.get(call_id), self._preparer
        if delivery is None or preparer is None or call_id in self._preparing or self._stopping:
            return
        due = due_to_prepare(delivery, self._plan)
        if due is None or due[0] > utc_now_us():
            return
        queue = self._queues[delivery.portal]
        self._preparing.add(call_id)
        try:
            await self._attempts.prepare(delivery, due[1], queue, preparer)
        finally:
            self._preparing.discard(call_id)
            self._schedule_latest(call_id, queue)

    def _schedule_latest(self, call_id: str, queue: PortalQueue) -> None:
        if not self._stopping and (latest := self.states.open.get(call_id)) is not None:
            self._schedule(latest, queue)

    def resume_paused(self, call_id: str) -> None:
        """See DeliverySource."""
        delivery = self.states.open.get(call_id)
        if delivery is None or call_id in self._busy:
            return
        queue = self._queues[delivery.portal]
        resumed = advance(delivery, PortalBack(utc_now_us()), self._plan, queue.policy).delivery
        if resumed is not delivery:
            self._store_and_schedule(resumed, queue)

    async def expire_overdue(self, now: UtcMicros) -> None:
        """Give up the calls whose deadline is over and whose portal does not take calls."""
        for delivery in list(self.states.open.values()):
            queue = self._queues[delivery.portal]
            late = queue.throttle.failing and overdue(delivery, now, queue.policy)
            if not late or delivery.call_id in self._busy or self._stopping:
                continue
            self._busy.add(delivery.call_id)
            try:
                await self._attempts.apply(delivery, Overdue(now), queue)
            finally:
                self._busy.discard(delivery.call_id)
