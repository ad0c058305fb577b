"""`cel2crm worker bitrix24|kommo`: call results in; each external call once in its CRM."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import structlog
from aiokafka.errors import KafkaError
from faust.types import TP, ConsumerMessage

from schemas import MalformedRecord, SchemaRegistry, Serializer, UnknownSchema
from streams.calls.result import CallResult
from streams.crm.client import CrmClient
from streams.crm.events import Arrived
from streams.crm.http import utc_now
from streams.crm.plan import PLANS
from streams.crm.record import SECOND, Delivery, State
from streams.errors import UserError
from streams.rules import Rules, load_rules
from streams.settings import PortalSettings, Settings
from streams.workers import dead_letters
from streams.workers import deliver_metrics as metrics
from streams.workers.dead_letters import DeadLetters, Origin
from streams.workers.deliver_lane import Lane
from streams.workers.deliver_partition import SCHEMA, PartitionDeliveries
from streams.workers.deliver_portals import make_client, portal_of, served_portals, skip_reason_for
from streams.workers.deliver_tokens import PortalTokens
from streams.workers.faust_overrides import Consumer
from streams.workers.fenced_log import FencedLog
from streams.workers.hard_exit import hard_exit
from streams.workers.outbox import Outbox

_COMMIT_SECONDS = 1.0
_SWEEP_SECONDS = 30.0
_GIVE_UP_SECONDS = 8.0
"""Below the shortest session: a rebalance waits for it."""
_SILENT_SECONDS = 180.0
_DAY = 24 * 3600 * SECOND

_log = structlog.get_logger("deliver")


class DeliverWorker:
    """The worker of one CRM around the delivery state machine: all its portals, the partitions that it is given."""

    consumes: tuple[str, ...] = ("call-results",)

    def __init__(self, settings: Settings, crm: str) -> None:
        """Raises UserError for rules or portals that cannot be used."""
        self.name = crm
        self._settings = settings
        self._plan = PLANS[crm]
        self._portals = served_portals(settings, crm)
        self._tokens = PortalTokens(settings, self._portals)
        self.needs: tuple[str, ...] = (f"deliveries-{crm}", dead_letters.TOPIC, *self._tokens.needs)
        self._rules: Rules = load_rules(settings.rules)
        self._topic = settings.kafka.topic
        self._log_topic = self._topic(f"deliveries-{crm}")
        self._remember = (settings.kafka.retention_days + 1) * _DAY
        self._outbox = Outbox(settings.kafka.bootstrap_servers)
        self._registry = SchemaRegistry(settings.registry.url)
        self._lanes: dict[str, Lane] = {}
        self._since: dict[str, int] = {}
        self._held: dict[TP, PartitionDeliveries] = {}
        self._progress: dict[TP, tuple[int, float]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._group: Consumer
        self._serializer: Serializer
        self._dead: DeadLetters

    async def start(self, group: Consumer) -> None:
        """See runtime.Worker."""
        self._group = group
        dead_topic = self._topic(dead_letters.TOPIC)
        await self._tokens.start(self._new_token)
        clients = await self._clients()
        self._serializer = await self._registry.open(
            {self._topic("call-results"): "call_result", self._log_topic: SCHEMA, dead_topic: dead_letters.SCHEMA}
        )
        try:
            await self._outbox.start()
            self._dead = DeadLetters(self._outbox, self._serializer, dead_topic, self.name)
            for portal in self._portals:
                self._since[portal.name] = await self._served_since(portal)
        except (KafkaError, TimeoutError) as error:
            raise UserError(f"no Kafka broker at {self._settings.kafka.bootstrap_servers} ({error!r})") from None
        for portal in self._portals:
            self._lanes[portal.name] = Lane(portal, clients[portal.name])
            since = datetime.fromtimestamp(self._since[portal.name] / SECOND, UTC).isoformat(timespec="seconds")
            _log.info("delivering", portal=portal.name, crm=portal.crm, pbxs=portal.pbxs or "all", deliver_from=since)
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
        tasks = {tp: asyncio.create_task(self._take_over(tp)) for tp in partitions}
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
        self._held = taken
        self._progress = {tp: (desk.position, time.monotonic()) for tp, desk in taken.items()}
        return {tp: desk.position for tp, desk in taken.items()}

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        held, self._held = self._held, {}
        if not held:
            return
        for desk in held.values():
            desk.give_up()
        self._leave_lanes(frozenset(held.values()))
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                await asyncio.gather(*(lane.idle(_GIVE_UP_SECONDS / 2) for lane in self._lanes.values()))
                await asyncio.gather(*(desk.close() for desk in held.values()))
                await self._commit(held)
        except TimeoutError:
            hard_exit("partitions could not be given up in time")

    def _leave_lanes(self, desks: frozenset[PartitionDeliveries]) -> None:
        for lane in self._lanes.values():
            lane.leave(desks)

    async def _take_over(self, tp: TP) -> PartitionDeliveries:
        """Fence first, then read what was committed and the log to its end (design.md, State)."""
        log = self._fenced_log(tp.partition)
        try:
            await log.fence()
            committed = await self._group.committed_marked(tp)
            first, _ = await self._group.bounds(tp)
            values = await log.read()
        except BaseException:
            await log.close()
            raise
        position = first if committed is None else max(first, committed.offset)
        desk = PartitionDeliveries(
            f"{self._log_topic}/{tp.partition}", self._plan, self._lanes, self._serializer, log, self, position=position
        )
        desk.restore(values, utc_now())
        _log.info("partition taken over", partition=tp.partition, position=position, waiting=desk.open_calls)
        return desk

    def _fenced_log(self, partition: int) -> FencedLog:
        servers = self._settings.kafka.bootstrap_servers
        return FencedLog(servers, self._log_topic, partition, f"{self._log_topic}-{partition}")

    # Results.

    async def take(self, message: ConsumerMessage) -> None:
        """See runtime.Worker."""
        desk = self._held.get(message.tp)
        if desk is None or message.offset < desk.position:
            return
        metrics.RESULTS.labels(self.name).inc()
        try:
            result = CallResult.from_record(await self._decode(message.value))
        except (MalformedRecord, msgspec.ValidationError) as error:
            await self._unreadable(message, str(error))
            await desk.fold(message.offset, None)
            return
        await desk.fold(message.offset, self._arrived(result, message, desk))

    async def _decode(self, value: bytes | None) -> dict[str, Any]:
        try:
            return self._serializer.decode(value, "call_result")
        except UnknownSchema:
            return await self._serializer.read(value, "call_result")

    def _arrived(self, result: CallResult, message: ConsumerMessage, desk: PartitionDeliveries) -> Arrived | None:
        """The event; None where no portal of this CRM serves the PBX."""
        portal = portal_of(self._portals, result.pbx)
        now = utc_now()
        if portal is None:
            return None
        skip = skip_reason_for(result, portal, self._since[portal.name])
        if skip is None and result.ended_at < now - self._remember and not desk.remembers(result.call_id):
            skip = "it is older than what delivery remembers, and may have been delivered long ago"
        return Arrived(
            now,
            result.call_id,
            portal.name,
            result.version,
            result.outcome_hash,
            cast(bytes, message.value),
            result.ended_at,
            skip,
            (message.topic, message.partition, message.offset),
        )

    async def _unreadable(self, message: ConsumerMessage, why: str) -> None:
        metrics.DEAD_LETTERS.labels(self.name, "unreadable_result").inc()
        timestamp = None if message.timestamp is None else round(message.timestamp * 1000)
        headers = cast("list[tuple[str, bytes | None]]", message.headers or [])
        tp = message.tp
        origin = Origin(tp.topic, tp.partition, message.offset, message.key, message.value, headers, timestamp)
        await (await self._dead.send(origin, "unreadable_result", why))

    async def give_up(self, delivery: Delivery, code: str, why: str) -> None:
        """See DeadLetterBox."""
        _log.error("not delivered: to the dead letters", call=delivery.call_id, portal=delivery.portal, why=why)
        metrics.DEAD_LETTERS.labels(self.name, code).inc()
        source = delivery.source_topic, delivery.source_partition, delivery.source_offset
        origin = Origin(*source, delivery.call_id.encode(), delivery.result)
        await (await self._dead.send(origin, code, why, call_id=delivery.call_id, portal=delivery.portal))

    # Since when a portal is served.

    async def _served_since(self, portal: PortalSettings) -> int:
        """What is configured, else when the portal was first served: kept in the log's first partition."""
        if portal.deliver_from is not None:
            return int(portal.deliver_from.timestamp() * SECOND)
        key = f"portal:{portal.name}"
        known = await self._serving(key)
        if known is None:
            now = utc_now()
            serving = Delivery(key, self.name, portal.name, State.SERVING, queued_at=now, updated_at=now)
            value = self._serializer.encode(SCHEMA, serving.record())
            await (await self._outbox.send(self._log_topic, key.encode(), value, partition=0))
            # Read back: another worker may have been first, or last; either way all keep the same time.
            known = await self._serving(key)
        return known if known is not None else utc_now()

    async def _serving(self, key: str) -> int | None:
        value = (await self._fenced_log(0).read()).get(key.encode())
        return None if value is None else int(self._serializer.decode(value, SCHEMA)["queued_at"])

    # Time.

    async def _commit_loop(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            try:
                await self._commit(dict(self._held))
                await self._watch()
            except (KafkaError, TimeoutError) as error:
                _log.warning("Kafka does not answer", error=repr(error))
            except Exception as error:  # whatever it is: offsets would never move again
                hard_exit("offsets cannot be committed", error)

    async def _commit(self, held: Mapping[TP, PartitionDeliveries]) -> None:
        """Only what is durable in the log, or in the dead letters."""
        offsets = {tp: desk.durable for tp, desk in held.items()}
        await self._outbox.drain()
        for tp, offset in offsets.items():
            if offset > held[tp].committed and await self._group.commit_marked(tp, offset, ""):
                held[tp].committed = offset

    async def _watch(self) -> None:
        """Metrics, and the end of a consumer that went silent (aiokafka issue 703)."""
        ends = await self._group.end_offsets(list(self._held)) if self._held else {}
        now = time.monotonic()
        for tp, desk in list(self._held.items()):
            end = ends.get(tp, desk.position)
            metrics.LAG.labels(self.name, tp.partition).set(max(0, end - desk.position))
            position, since = self._progress.get(tp, (-1, now))
            if desk.position != position or desk.position >= end:
                self._progress[tp] = (desk.position, now)
            elif now - since > _SILENT_SECONDS:
                hard_exit(f"results wait on {tp}, and none has come for {_SILENT_SECONDS:.0f} s")
        metrics.WAITING.labels(self.name).set(sum(desk.open_calls for desk in self._held.values()))
        for name, lane in self._lanes.items():
            metrics.PAUSED.labels(self.name, name).set(lane.gate.paused_for is not None)

    async def _sweep_loop(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                now = utc_now()
                for desk in list(self._held.values()):
                    await desk.give_up_overdue(now)
                    desk.forget(now - 2 * self._remember)
            except Exception as error:  # whatever it is: deadlines would never come
                hard_exit("deliveries cannot be swept", error)
