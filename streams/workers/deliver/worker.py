"""`cel2crm worker bitrix24|kommo|webhook`: results and operators' commands in; each wanted call once in its portal."""

import asyncio
import time
from collections.abc import Mapping

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP, ConsumerMessage

from schemas import SchemaRegistry, Serializer
from streams.clock import MICROS_PER_SECOND, format_iso, utc_now_us
from streams.crm.client import CrmClient
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.plan import PLANS
from streams.delivery.record import Delivery
from streams.delivery.routing import make_client, served_portals
from streams.errors import UserError
from streams.kafka.dead_letters import DeadLetters, Origin
from streams.kafka.faust_overrides import Consumer
from streams.kafka.fenced_log import FencedLog
from streams.kafka.hard_exit import hard_exit
from streams.kafka.producer import IdempotentProducer
from streams.rules import Rules, load_rules
from streams.settings import Settings
from streams.topics import CALL_RESULTS, DEAD_LETTERS, DELIVERY_COMMANDS, deliveries
from streams.workers.deliver import metrics
from streams.workers.deliver.intake import Intake
from streams.workers.deliver.partition import PartitionDeliveries
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.portal_state import PortalStateStore
from streams.workers.deliver.progress import OffsetTracker
from streams.workers.deliver.tokens import PortalTokens

_COMMIT_SECONDS = 1.0
_SWEEP_SECONDS = 30.0
_GIVE_UP_SECONDS = 8.0
"""Below the shortest session: a rebalance waits for it."""
_SILENT_SECONDS = 180.0
_DAY = 24 * 3600 * MICROS_PER_SECOND

_log = structlog.get_logger("deliver")


class DeliverWorker:
    """The worker of one CRM around the delivery state machine: all its portals, the partitions that it is given."""

    consumes: tuple[str, ...] = (CALL_RESULTS, DELIVERY_COMMANDS)

    def __init__(self, settings: Settings, crm: str) -> None:
        """Raises UserError for rules or portals that cannot be used."""
        self.name = crm
        self._settings = settings
        self._plan = PLANS[crm]
        self._portals = served_portals(settings, crm)
        self._tokens = PortalTokens(settings, self._portals)
        self.needs: tuple[str, ...] = (deliveries(crm), DEAD_LETTERS, *self._tokens.needs)
        self._rules: Rules = load_rules(settings.rules)
        self._topic = settings.kafka.topic
        self._log_topic = self._topic(deliveries(crm))
        self._remember = (settings.kafka.retention_days + 1) * _DAY
        self._outbox = IdempotentProducer(settings.kafka.bootstrap_servers)
        self._registry = SchemaRegistry(settings.registry.url)
        self._lanes: dict[str, PortalQueue] = {}
        self._since: dict[str, int] = {}
        self._disabled: set[str] = set()
        self._held: dict[TP, PartitionDeliveries] = {}
        """By the partition of their results."""
        self._commanded: dict[TP, PartitionDeliveries] = {}
        """The same by the partition of their commands."""
        self._progress: dict[TP, tuple[int, float]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._group: Consumer
        self._serializer: Serializer
        self._dead: DeadLetters
        self._intake: Intake
        self._standing: PortalStateStore

    async def start(self, group: Consumer) -> None:
        """See runtime.Worker."""
        self._group = group
        dead_topic = self._topic(DEAD_LETTERS)
        await self._tokens.start(self._new_token)
        clients = await self._clients()
        self._serializer = await self._registry.register(
            {
                self._topic(each): each.schema
                for each in (CALL_RESULTS, DELIVERY_COMMANDS, deliveries(self.name), DEAD_LETTERS)
            }
        )
        try:
            await self._outbox.start()
            self._dead = DeadLetters(self._outbox, self._serializer, dead_topic, self.name)
            self._standing = PortalStateStore(
                self.name, self._log_topic, self._outbox, self._serializer, lambda: self._fenced_log(0)
            )
            await self._standing.read()
            for portal in self._portals:
                self._since[portal.name] = await self._standing.served_since(portal)
        except (KafkaError, TimeoutError) as error:
            raise UserError(f"no Kafka broker at {self._settings.kafka.bootstrap_servers} ({error!r})") from None
        self._intake = Intake(self.name, self._serializer, self._dead, self._portals, self._since, self._remember)
        for portal in self._portals:
            lane = self._lanes[portal.name] = PortalQueue(portal, clients[portal.name])
            if (why := await self._standing.disabled(portal.name, lane.client.fingerprint)) is not None:
                self._turned_down(lane, why)
            since = format_iso(self._since[portal.name])
            _log.info("delivering", portal=portal.name, crm=portal.crm, pbxs=portal.pbxs or "all", deliver_from=since)
            metrics.SHADOW.labels(self.name, portal.name).set(portal.shadow)
            if portal.shadow:
                _log.warning("portal is a shadow: what it would get is recorded, nothing is sent", portal=portal.name)
        self._loops = [asyncio.create_task(self._commit_loop()), asyncio.create_task(self._sweep_loop())]

    async def _clients(self) -> dict[str, CrmClient]:
        clients: dict[str, CrmClient] = {}
        try:
            for portal in self._portals:
                clients[portal.name] = make_client(portal, self._rules, self._tokens.source(portal))
        except UserError:
            for client in clients.values():
                await client.close()
            await self._tokens.stop()
            raise
        return clients

    def _new_token(self, portal: str) -> None:
        if lane := self._lanes.get(portal):
            lane.try_now()

    async def stop(self) -> None:
        """See runtime.Worker."""
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)
        for lane in self._lanes.values():
            await lane.stop()
            await lane.client.close()
        await self._tokens.stop()
        await self._outbox.drain()
        await self._outbox.stop()
        await self._registry.close()

    # Partitions.

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        results = self._topic(CALL_RESULTS)
        mine = [tp for tp in partitions if tp.topic == results]
        tasks = {tp: asyncio.create_task(self._take_over(tp)) for tp in mine}
        try:
            taken = {tp: await task for tp, task in tasks.items()}
        except BaseException:
            for task in tasks.values():
                task.cancel()
            for desk in await asyncio.gather(*tasks.values(), return_exceptions=True):
                if isinstance(desk, PartitionDeliveries):
                    desk.give_up()
                    self._leave_lanes(frozenset({desk}))
                    await desk.close()
            raise
        total = self._settings.kafka.partitions
        for lane in self._lanes.values():
            lane.gate.set_share(min(1.0, max(1, len(taken)) / total))
        by_number = {tp.partition: desk for tp, desk in taken.items()}
        commanded = {
            tp: by_number[tp.partition] for tp in partitions if tp.topic != results and tp.partition in by_number
        }
        self._held, self._commanded = taken, commanded
        self._progress = {tp: (desk.results.position, time.monotonic()) for tp, desk in taken.items()}
        # While workers of an older release share the group, commands may come without their results: left unread.
        strays = {tp: 0 for tp in partitions if tp.topic != results and tp not in commanded}
        return strays | {tp: reading.position for tp, reading in self._readings().items()}

    def _readings(self) -> dict[TP, OffsetTracker]:
        results = {tp: desk.results for tp, desk in self._held.items()}
        return results | {tp: desk.commands for tp, desk in self._commanded.items()}

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        held, readings = self._held, self._readings()
        self._held, self._commanded = {}, {}
        if not held:
            return
        for desk in held.values():
            desk.give_up()
        self._leave_lanes(frozenset(held.values()))
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                await asyncio.gather(*(lane.idle(_GIVE_UP_SECONDS / 2) for lane in self._lanes.values()))
                await asyncio.gather(*(desk.close() for desk in held.values()))
                await self._commit(readings)
        except TimeoutError:
            hard_exit("partitions could not be given up in time")

    def _leave_lanes(self, desks: frozenset[PartitionDeliveries]) -> None:
        for lane in self._lanes.values():
            lane.leave(desks)

    async def _take_over(self, tp: TP) -> PartitionDeliveries:
        """Fence first, then read what was committed and the log to its end (design.md, State)."""
        log = self._fenced_log(tp.partition)
        desk: PartitionDeliveries | None = None
        try:
            await log.fence()
            position = await self._begin(tp)
            ordered = await self._begin(TP(self._topic(DELIVERY_COMMANDS), tp.partition))
            name = f"{self._log_topic}/{tp.partition}"
            desk = PartitionDeliveries(
                name, self._plan, self._lanes, self._serializer, log, self, position=position, commands=ordered
            )
            await log.scan(lambda record: desk.read(record.key, record.value, record.offset))
        except BaseException:
            if desk is not None:
                desk.abandon()
            await log.close()
            raise
        desk.restore(utc_now_us())
        _log.info("partition taken over", partition=tp.partition, position=position, waiting=desk.open_calls)
        return desk

    async def _begin(self, tp: TP) -> int:
        """The offset from which a partition is to be read."""
        committed = await self._group.committed_marked(tp)
        first, _ = await self._group.bounds(tp)
        return first if committed is None else max(first, committed.offset)

    def _fenced_log(self, partition: int) -> FencedLog:
        servers = self._settings.kafka.bootstrap_servers
        return FencedLog(servers, self._log_topic, partition, f"{self._log_topic}-{partition}")

    # Results and commands.

    async def take(self, message: ConsumerMessage) -> None:
        """See runtime.Worker."""
        if (desk := self._held.get(message.tp)) is not None:
            if message.offset >= desk.results.position:
                metrics.RESULTS.labels(self.name).inc()
                await desk.fold(message.offset, await self._intake.result(message, desk.remembers))
        elif (desk := self._commanded.get(message.tp)) is not None and message.offset >= desk.commands.position:
            call_id, event = await self._intake.command(message, desk.remembers)
            await desk.order(message.offset, call_id, event)

    async def give_up(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        """See DeliveryEscalation."""
        _log.error("not delivered: to the dead letters", call=delivery.call_id, portal=delivery.portal, why=why)
        metrics.DEAD_LETTERS.labels(self.name, reason.code).inc()
        source = delivery.source_topic, delivery.source_partition, delivery.source_offset
        origin = Origin(*source, delivery.call_id.encode(), delivery.result)
        await (await self._dead.send(origin, reason, why, call_id=delivery.call_id, portal=delivery.portal))

    async def disable(self, lane: PortalQueue, why: str) -> None:
        """See DeliveryEscalation."""
        if lane.portal.name in self._disabled:
            return  # an answer to what went out before
        self._turned_down(lane, why)
        await self._standing.disable(lane.portal.name, lane.client.fingerprint, why)

    def _turned_down(self, lane: PortalQueue, why: str) -> None:
        self._disabled.add(lane.portal.name)
        lane.gate.disable(why)
        remedy = (
            f"cel2crm portal enable {lane.portal.name}, or another address or secret, and a restart; calls are kept"
        )
        _log.error("portal is disabled, it gets nothing more", portal=lane.portal.name, why=why, remedy=remedy)

    # Time.

    async def _commit_loop(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            try:
                await self._commit(self._readings())
                await self._watch()
            except (KafkaError, TimeoutError) as error:
                _log.warning("Kafka does not answer", error=repr(error))
            except Exception as error:  # whatever it is: offsets would never move again
                hard_exit("offsets cannot be committed", error)

    async def _commit(self, readings: Mapping[TP, OffsetTracker]) -> None:
        """Only what is durable in the log, or in the dead letters."""
        offsets = {tp: reading.durable for tp, reading in readings.items()}
        await self._outbox.drain()
        for tp, offset in offsets.items():
            if offset > readings[tp].committed and await self._group.commit_marked(tp, offset, ""):
                readings[tp].committed = offset

    async def _watch(self) -> None:
        """Metrics, and the end of a consumer that went silent (aiokafka issue 703)."""
        ends = await self._group.end_offsets(list(self._held)) if self._held else {}
        now = time.monotonic()
        for tp, desk in list(self._held.items()):
            end = ends.get(tp, desk.results.position)
            metrics.LAG.labels(self.name, tp.partition).set(max(0, end - desk.results.position))
            position, since = self._progress.get(tp, (-1, now))
            if desk.results.position != position or desk.results.position >= end:
                self._progress[tp] = (desk.results.position, now)
            elif now - since > _SILENT_SECONDS:
                hard_exit(f"results wait on {tp}, and none has come for {_SILENT_SECONDS:.0f} s")
        metrics.WAITING.labels(self.name).set(sum(desk.open_calls for desk in self._held.values()))
        for name, lane in self._lanes.items():
            metrics.PAUSED.labels(self.name, name).set(lane.gate.paused_for is not None)

    async def _sweep_loop(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                now = utc_now_us()
                for desk in list(self._held.values()):
                    await desk.give_up_overdue(now)
                    # A day more: the clocks of PBXs and workers differ, and a later version may end later.
                    desk.forget(now - self._remember - _DAY)
            except Exception as error:  # whatever it is: deadlines would never come
                hard_exit("deliveries cannot be swept", error)
