"""`cel2crm worker bitrix24|kommo`: call results in; each call's status in its CRM, once in effect.

A call's delivery is the state machine of streams/crm/delivery.py. Its state stands in the delivery log before and after
each effect; a new owner fences the log, reads it to the end, and takes up from there (design.md, Delivery log).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP, ConsumerMessage

from schemas import MalformedRecord
from schemas.registry import SchemaRegistry, Serializer
from streams.calls.result import CallResult
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.client import CrmClient
from streams.crm.delivery import Outcome
from streams.crm.eligibility import skip_reason
from streams.crm.events import (
    Answered,
    Arrived,
    DeadLetter,
    Done,
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
from streams.crm.http import boot_seconds, utc_now
from streams.crm.kommo.client import KommoClient
from streams.crm.record import SECOND, Delivery, State
from streams.errors import SettingsError, UserError
from streams.rules import Rules, load_rules
from streams.settings import PortalSettings, Settings
from streams.workers import dead_letters, metrics
from streams.workers.dead_letters import DeadLetters, Origin
from streams.workers.deliver_held import SCHEMA, HeldDeliveries
from streams.workers.deliver_portal import Portal
from streams.workers.faust_overrides import Consumer
from streams.workers.fenced_log import FencedLog
from streams.workers.hard_exit import hard_exit
from streams.workers.outbox import Outbox

_COMMIT_SECONDS = 1.0
_SWEEP_SECONDS = 5.0
_GIVE_UP_SECONDS = 8.0
"""Below the shortest session: a rebalance waits for it."""
_DAY = 24 * 3600 * SECOND

_log = structlog.get_logger("deliver")
_random = random.Random()


class DeliverWorker:
    """The worker of one CRM, for all its portals."""

    consumes: tuple[str, ...] = ("call-results",)

    def __init__(self, settings: Settings, crm: str) -> None:
        """Raises SettingsError where the CRM has no portal, or one of them lacks its address or authorisation."""
        self.name = crm
        self.needs: tuple[str, ...] = (f"deliveries-{crm}", dead_letters.TOPIC)
        self._settings = settings
        self._rules: Rules = load_rules(settings.rules)
        self._configured = settings.portals_of(crm)
        if not self._configured:
            raise SettingsError(f"portals: none is of {crm}", f"Add one with crm: {crm}; see the README.")
        self._registry = SchemaRegistry(settings.registry.url)
        self._outbox = Outbox(settings.kafka.bootstrap_servers)
        self._portals: dict[str, Portal] = {}
        self._held: dict[TP, HeldDeliveries] = {}
        self._where: dict[str, TP] = {}
        self._group: Consumer
        self._serializer: Serializer
        self._dead: DeadLetters
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, group: Consumer) -> None:
        """See runtime.Worker."""
        self._group = group
        topic = self._settings.kafka.topic
        self._serializer = await self._registry.open(
            {
                topic("call-results"): "call_result",
                topic(f"deliveries-{self.name}"): SCHEMA,
                topic(dead_letters.TOPIC): dead_letters.SCHEMA,
            }
        )
        try:
            await self._outbox.start()
        except (KafkaError, TimeoutError) as error:
            raise UserError(
                f"no Kafka broker at {self._settings.kafka.bootstrap_servers} ({type(error).__name__})"
            ) from None
        self._dead = DeadLetters(self._outbox, self._serializer, topic(dead_letters.TOPIC), self.name)
        for portal in self._configured:
            self._portals[portal.name] = Portal(portal, self._client(portal), self._start_call)
        for opened in self._portals.values():
            opened.open()
        self._loops = [
            asyncio.create_task(self._every(_COMMIT_SECONDS, self._commit)),
            asyncio.create_task(self._every(_SWEEP_SECONDS, self._sweep)),
        ]
        _log.info("delivering", crm=self.name, portals=list(self._portals), rules=self._rules.hash)

    async def stop(self) -> None:
        """See runtime.Worker."""
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)
        for portal in self._portals.values():
            await portal.close()
        await self._outbox.drain()
        await self._outbox.stop()
        await self._registry.close()

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        taken: dict[TP, HeldDeliveries] = {}
        try:
            for held in await asyncio.gather(*(self._take_over(tp) for tp in sorted(partitions))):
                taken[held.tp] = held
        except BaseException:
            await asyncio.gather(*(held.give_up(self._group, self._outbox, 1.0) for held in taken.values()))
            raise
        self._held = taken
        for held in taken.values():
            for delivery in held.calls.values():
                self._schedule(held, delivery)
        return {tp: held.position for tp, held in taken.items()}

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        held, self._held = self._held, {}
        if held:
            await asyncio.gather(*(each.give_up(self._group, self._outbox, _GIVE_UP_SECONDS) for each in held.values()))
        self._where.clear()

    async def take(self, message: ConsumerMessage) -> None:
        """See runtime.Worker."""
        held = self._held.get(message.tp)
        if held is None or message.offset < held.position:
            return
        value = message.value if isinstance(message.value, bytes) else None
        try:
            result = CallResult.from_record(await self._serializer.read(value, "call_result"))
        except (MalformedRecord, ValueError) as error:
            await self._unreadable(message, str(error))
        else:
            portal = self._portal_of(result)
            if portal is not None and value is not None:
                self._arrive(held, portal, result, value, message.offset)
        held.position = message.offset + 1

    # Results.

    def _portal_of(self, result: CallResult) -> Portal | None:
        for portal in self._portals.values():
            if not portal.settings.pbxs or result.pbx in portal.settings.pbxs:
                return portal
        return None

    def _arrive(self, held: HeldDeliveries, portal: Portal, result: CallResult, value: bytes, offset: int) -> None:
        arrived = Arrived(
            utc_now(),
            result.call_id,
            portal.settings.name,
            result.version,
            result.outcome_hash,
            value,
            result.ended_at,
            self._skip(held, portal, result),
            (held.tp.topic, held.tp.partition, offset),
        )
        delivery = held.arrive(arrived, portal.client.plan, portal.policy)
        if delivery is not None:
            metrics.DELIVERIES.labels(self.name, delivery.state.value).inc()
            self._schedule(held, delivery)

    def _skip(self, held: HeldDeliveries, portal: Portal, result: CallResult) -> str | None:
        settings = portal.settings
        why = skip_reason(result, internal=settings.deliver_internal, unknown=settings.deliver_unknown)
        if why is not None:
            return why
        serving = held.get(_serving_key(settings.name))
        since = settings.deliver_from
        begin = round(since.timestamp() * SECOND) if since else (serving.queued_at if serving else 0)
        if result.ended_at < begin:
            return "it ended before this portal was served (portals[].deliver_from)"
        if held.get(result.call_id) is None and result.ended_at < utc_now() - self._remembered:
            return "it is older than what delivery remembers"
        return None

    @property
    def _remembered(self) -> int:
        return self._settings.kafka.retention_days * _DAY

    async def _unreadable(self, message: ConsumerMessage, why: str) -> None:
        key = message.key if isinstance(message.key, bytes) else None
        value = message.value if isinstance(message.value, bytes) else None
        origin = Origin(message.tp.topic, message.tp.partition, message.offset, key, value)
        metrics.UNDELIVERED.labels(self.name, "unreadable_result").inc()
        await self._dead.send(origin, "unreadable_result", why)

    # Calls.

    def _schedule(self, held: HeldDeliveries, delivery: Delivery) -> None:
        if (due := delivery.due_at) is not None and delivery.portal in self._portals:
            self._where[delivery.call_id] = held.tp
            self._portals[delivery.portal].wants(delivery.call_id, due)

    def _start_call(self, call_id: str) -> "asyncio.Task[None] | None":
        held = self._held.get(self._where.get(call_id, TP("", 0)))
        delivery = held.calls.get(call_id) if held else None
        if held is None or delivery is None or delivery.due_at is None or delivery.due_at > utc_now():
            return None
        task = asyncio.create_task(self._act(held, call_id, self._portals[delivery.portal]))
        held.under_way.add(task)
        task.add_done_callback(held.under_way.discard)
        return task

    async def _act(self, held: HeldDeliveries, call_id: str, portal: Portal) -> None:
        """What is due of a call: one request or one lookup, durable before and after."""
        try:
            until = boot_seconds() + portal.settings.request_timeout_seconds
            outcome = await self._apply(held, portal, call_id, self._due(held, portal, call_id))
            await held.durable()
            for effect in outcome.effects:
                match effect:
                    case Send(attempt):
                        answer = await portal.client.send(outcome.delivery, until)
                        if isinstance(answer, Done):
                            portal.works()
                        event: Event = Answered(utc_now(), attempt, answer, _random.random())
                    case LookUp(attempt):
                        sighting = await portal.client.look_up(outcome.delivery, until)
                        event = LookedUp(utc_now(), attempt, sighting, _random.random())
                    case _:
                        continue
                await self._apply(held, portal, call_id, event)
        except Exception as error:  # whatever it is: a state that is not known must not be acted on
            hard_exit(f"the delivery of {call_id} failed", error)

    def _due(self, held: HeldDeliveries, portal: Portal, call_id: str) -> Due:
        delivery = held.calls[call_id]
        if delivery.result is None:
            return Due(utc_now())
        result = CallResult.from_record(self._serializer.decode(delivery.result, "call_result"))
        request = portal.client.request(delivery, result)
        return Due(utc_now(), request.sent, request.status, request.text)

    async def _apply(self, held: HeldDeliveries, portal: Portal, call_id: str, event: Event) -> Outcome:
        if held.closed or call_id not in held.calls:
            return Outcome(held.get(call_id) or Delivery(call_id, self.name, "", State.SKIPPED))
        outcome = held.apply(call_id, event, portal.client.plan, portal.policy)
        for effect in outcome.effects:
            match effect:
                case DeadLetter(code, why):
                    await self._hand_over(outcome.delivery, code, why)
                    # Versions that came meanwhile are in the state already: the same event on top of them.
                    outcome = held.apply(call_id, event, portal.client.plan, portal.policy)
                case PausePortal(why):
                    portal.pause(why)
                case SlowPortal(until, why):
                    portal.slow(until, why)
        if outcome.delivery is not held.calls[call_id]:
            held.put(outcome.delivery)
            metrics.DELIVERIES.labels(self.name, outcome.delivery.state.value).inc()
        self._schedule(held, outcome.delivery)
        return outcome

    async def _hand_over(self, delivery: Delivery, code: str, why: str) -> None:
        origin = Origin(
            delivery.source_topic,
            delivery.source_partition,
            delivery.source_offset,
            delivery.call_id.encode(),
            delivery.result,
        )
        metrics.UNDELIVERED.labels(self.name, code).inc()
        _log.error("to the dead letters", call=delivery.call_id, portal=delivery.portal, reason=code, why=why)
        await (await self._dead.send(origin, code, why, call_id=delivery.call_id, portal=delivery.portal))

    # Partitions.

    async def _take_over(self, tp: TP) -> HeldDeliveries:
        topic = self._settings.kafka.topic(f"deliveries-{self.name}")
        log = FencedLog(self._settings.kafka.bootstrap_servers, topic, tp.partition, f"{topic}-{tp.partition}")
        try:
            await log.fence()
            fenced_at = utc_now()
            committed = await self._group.committed_marked(tp)
            first, end = await self._group.bounds(tp)
            position = min(max(committed.offset, first), end) if committed else first
            records = await log.read()
        except BaseException:
            await log.close()
            raise
        held = HeldDeliveries(tp, log, self._serializer, position)
        for delivery in held.load(records.values()):
            portal = self._portals.get(delivery.portal)
            if portal is not None:
                await self._apply(held, portal, delivery.call_id, Recovered(fenced_at))
        for name in self._portals:
            if held.get(_serving_key(name)) is None:
                now = utc_now()
                held.put(Delivery(_serving_key(name), self.name, name, State.SERVING, queued_at=now, updated_at=now))
        await held.durable()
        _log.info("partition taken over", partition=tp.partition, position=position, open=len(held.calls))
        return held

    async def _commit(self) -> None:
        for held in list(self._held.values()):
            await held.commit(self._group, self._outbox)

    async def _sweep(self) -> None:
        """Deadlines, portals that may be back, and what is too old to be remembered."""
        now = utc_now()
        back = {name for name, portal in self._portals.items() if portal.resume_due()}
        for held in list(self._held.values()):
            for delivery in list(held.calls.values()):
                portal = self._portals.get(delivery.portal)
                if portal is None or delivery.state is State.INTENT:
                    continue
                await self._apply(held, portal, delivery.call_id, Overdue(now))
                # What was paused after its portal came back comes back too.
                if delivery.state is State.PAUSED and (delivery.portal in back or not portal.paused):
                    await self._apply(held, portal, delivery.call_id, PortalBack(utc_now()))
            held.forget(now - self._remembered)
        metrics.WAITING.labels(self.name).set(sum(len(held.calls) for held in self._held.values()))

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await action()
            except Exception as error:  # whatever it is: without this the worker would look alive and do nothing
                hard_exit("a regular task failed", error)

    def _client(self, portal: PortalSettings) -> CrmClient:
        if self.name == "bitrix24":
            return Bitrix24Client(portal, self._rules.bitrix24.status)
        return KommoClient(portal, self._rules.kommo.status)


def _serving_key(portal: str) -> str:
    return f"portal:{portal}"
