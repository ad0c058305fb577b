"""`cel2crm worker <CRM>`: results and operators' commands in; each wanted call once in its portal."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faust.types import TP

from schemas import Serializer
from streams.clock import MICROS_PER_DAY, format_iso, utc_now_us
from streams.crm.shared.adapter import plan_of
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.portal_records import Service
from streams.delivery.record import Delivery
from streams.delivery.routing import served_portals
from streams.http.service import schema_registry
from streams.kafka.client import unreachable
from streams.kafka.dead_letters import DeadLetters, Origin
from streams.kafka.faust_overrides import Consumer
from streams.kafka.fenced_log import FencedLog
from streams.kafka.hard_exit import hard_exit
from streams.kafka.lost_records import EXPIRED, Lost, positions, start_offset
from streams.kafka.partition_owner import RELEASE_SECONDS, take_over_all
from streams.kafka.producer import IdempotentProducer
from streams.kafka.schema_registry import register_schemas, warn_of_changed_ids, watch_registry
from streams.kafka.set_aside import SetAsideRecords
from streams.rules import Rules, load_rules
from streams.settings import Settings
from streams.topics import CALL_RESULTS, DEAD_LETTERS, DELIVERY_COMMANDS, PORTAL_STATES, SET_ASIDE_RECORDS, deliveries
from streams.workers.deliver import metrics
from streams.workers.deliver.clients import make_clients
from streams.workers.deliver.followed import FollowedCalls
from streams.workers.deliver.intake import Intake
from streams.workers.deliver.log_scan import read_log
from streams.workers.deliver.losses import ResultLosses
from streams.workers.deliver.owned_partitions import OwnedPartitions
from streams.workers.deliver.partition import PartitionDeliveries
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.portal_state import PortalStateStore
from streams.workers.deliver.preparations import Preparations
from streams.workers.deliver.start_check import StartCheck
from streams.workers.deliver.taking import take_records
from streams.workers.deliver.tokens import PortalTokens
from streams.workers.deliver.upkeep import Upkeep

_log = structlog.get_logger("deliver")


class DeliverWorker:
    """The worker of one CRM around the delivery state machine: all its portals, the partitions that it is given."""

    consumes: tuple[str, ...] = (CALL_RESULTS, DELIVERY_COMMANDS)

    def __init__(self, settings: Settings, crm: str) -> None:
        """Raises UserError for rules or portals that cannot be used."""
        self.name = crm
        self._settings = settings
        self._plan = plan_of(crm)
        self._portals = served_portals(settings, crm)
        self._tokens = PortalTokens(settings, self._portals)
        self._followed = FollowedCalls(settings.recordings, self._portals)
        self.needs: tuple[str, ...] = (deliveries(crm), PORTAL_STATES, DEAD_LETTERS, *self._tokens.needs)
        self._rules: Rules = load_rules(settings.rules)
        self._topic = settings.kafka.topic
        self._log_topic = self._topic(deliveries(crm))
        self._remember_us = (settings.kafka.retention_days + 1) * MICROS_PER_DAY
        self._producer = IdempotentProducer(settings.kafka)
        self._set_aside = SetAsideRecords(settings.kafka, self._topic(SET_ASIDE_RECORDS))
        self._registry = schema_registry(settings.registry)
        self._queues: dict[str, PortalQueue] = {}
        self._services: dict[str, Service] = {}
        self._disabled: set[str] = set()
        self._owned = OwnedPartitions()
        self._logs: dict[int, FencedLog] = {}
        """The fenced delivery logs of the owned partitions."""
        self._scanning = asyncio.Semaphore(2)
        """Few logs are read at once: open calls of the first partitions are served while the others' are still read."""
        check = StartCheck(self._tokens.source)
        self._upkeep = Upkeep(crm, self._owned, self._queues, self._producer, self._remember_us, check)
        self._group: Consumer
        self._serializer: Serializer
        self._dead_letters: DeadLetters
        self._intake: Intake
        self._losses: ResultLosses
        self._portal_states: PortalStateStore
        self._preparations: Preparations

    async def start(self, group: Consumer) -> None:
        """See worker_runtime.Worker."""
        self._group = group
        written = (CALL_RESULTS, DELIVERY_COMMANDS, deliveries(self.name), PORTAL_STATES, DEAD_LETTERS)
        self._serializer = await register_schemas(self._registry, {self._topic(each): each.schema for each in written})
        await self._tokens.start(self._on_new_token)
        clients = await make_clients(self._portals, self._rules, self._tokens)
        try:
            await self._producer.start()
            self._dead_letters = DeadLetters(self._producer, self._serializer, self._topic(DEAD_LETTERS), self.name)
            self._portal_states = PortalStateStore(
                self._portals,
                {name: client.fingerprint for name, client in clients.items()},
                self._serializer,
                FencedLog(self._settings.kafka, self._topic(PORTAL_STATES), 0, ""),
                self._fenced_log,
                self._settings.kafka.partitions,
                self._set_aside,
            )
            await self._set_aside.passing_over(self._portal_states.start)
            partitions = await self._producer.partitions(self._topic(CALL_RESULTS))
        except (KafkaError, TimeoutError) as error:
            raise unreachable(self._settings.kafka, error) from None
        self._losses = ResultLosses(
            self._settings, self.name, self._portals, self._dead_letters, group, self._remember_us
        )
        self._intake = Intake(
            self.name,
            self._serializer,
            self._dead_letters,
            self._portals,
            self._services,
            self._remember_us,
            partitions,
            self._followed.follow_ups,
        )
        self._preparations = Preparations()
        for portal in self._portals:
            self._queues[portal.name] = PortalQueue(portal, clients[portal.name], self._followed.longest_us)
        self._upkeep.start(group, watch_registry(self._serializer))

    def _on_new_token(self, portal: str) -> None:
        if queue := self._queues.get(portal):
            queue.try_now()

    async def stop(self) -> None:
        """See worker_runtime.Worker."""
        await self._upkeep.stop()
        await self._preparations.stop()
        await self._followed.close()
        for queue in self._queues.values():
            await queue.stop()
            await queue.client.close()
        await self._tokens.stop()
        await self._producer.drain()
        await self._producer.stop()
        await self._registry.close()

    # Partitions.

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        results = self._topic(CALL_RESULTS)
        mine = sorted(tp for tp in partitions if tp.topic == results)  # the others wait for partition 0
        self._portal_states.assigned([tp.partition for tp in mine])
        self._logs.clear()
        taken = await take_over_all(
            mine, lambda tp: self._set_aside.passing_over(lambda: self._take_over(tp)), self._release
        )
        await warn_of_changed_ids(self._serializer)
        for queue in self._queues.values():
            queue.throttle.set_share(min(1.0, max(1, len(taken)) / self._settings.kafka.partitions))
        by_number = {tp.partition: partition for tp, partition in taken.items()}
        by_commands = {
            tp: by_number[tp.partition] for tp in partitions if tp.topic != results and tp.partition in by_number
        }
        self._owned.replace(taken, by_commands)
        self._upkeep.partitions_changed()
        # While workers of an older release share the group, commands may come without their results: left unread.
        strays = {tp: 0 for tp in partitions if tp.topic != results and tp not in by_commands}
        return strays | dict(self.positions())

    async def _release(self, partition: PartitionDeliveries) -> None:
        partition.stop_starting()
        await self._drop_from_queues(frozenset({partition}))
        await partition.close()

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        released, trackers = dict(self._owned.by_results), self._owned.trackers()
        self._owned.replace({}, {})
        if not released:
            return
        for partition in released.values():
            partition.stop_starting()
        await self._drop_from_queues(frozenset(released.values()))
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await asyncio.gather(*(queue.finish_attempts(RELEASE_SECONDS / 2) for queue in self._queues.values()))
                self._logs.clear()
                await asyncio.gather(*(partition.close() for partition in released.values()))
                await self._upkeep.commit(trackers)
        except TimeoutError:
            hard_exit("partitions could not be released in time")

    async def _drop_from_queues(self, partitions: frozenset[PartitionDeliveries]) -> None:
        for queue in self._queues.values():
            queue.drop_partitions(partitions)
        await self._preparations.drop_partitions(partitions)

    async def _take_over(self, tp: TP) -> PartitionDeliveries:
        """Fence first, then read the committed offsets, and the log to its end (docs/architecture.md)."""
        log = self._fenced_log(tp.partition)
        partition: PartitionDeliveries | None = None
        try:
            await log.fence()
            committed, first_result, _ = await positions(self._group, tp)
            position = start_offset(committed, first_result)
            commands = TP(self._topic(DELIVERY_COMMANDS), tp.partition)
            committed_command, first_left, _ = await positions(self._group, commands)
            first_command = start_offset(committed_command, first_left)
            if committed_command is not None and committed_command.offset < first_left:
                self._losses.log_commands(Lost(commands, committed_command.offset, first_left, EXPIRED))
            name = f"{self._log_topic}/{tp.partition}"
            partition = PartitionDeliveries(
                name,
                self._plan,
                self._queues,
                self._serializer,
                log,
                self,
                results_offset=position,
                commands_offset=first_command,
                preparations=self._preparations,
                preparer=self._followed,
            )
            async with self._scanning:
                of_portals = await read_log(log, partition, self._set_aside, self._settings.kafka.partitions)
            await self._portal_states.take_over(tp.partition, log, of_portals)
            self._apply_portal_states()
            partition.restore(utc_now_us())
        except BaseException:
            if partition is not None:
                partition.abandon()
            await log.close()
            raise
        self._logs[tp.partition] = log
        partition.log_kept_since(await self._losses.look_at_start(tp, committed, first_result, partition.states))
        _log.info("partition taken over", partition=tp.partition, position=position, waiting=partition.open_calls)
        return partition

    def _apply_portal_states(self) -> None:
        """Serve the portals as their records say."""
        for portal in self._portals:
            service = self._portal_states.service(portal)
            if self._services.get(portal.name) != service:
                self._services[portal.name] = service
                pbxs, since = portal.pbxs or "all", format_iso(service.calls_from)
                _log.info("delivering", portal=portal.name, crm=portal.crm, pbxs=pbxs, deliver_from=since)
            why = self._portal_states.disabled(portal)
            if why is not None and portal.name not in self._disabled:
                self._close_portal(self._queues[portal.name], why)

    def _fenced_log(self, partition: int) -> FencedLog:
        kafka = self._settings.kafka
        return FencedLog(kafka, self._log_topic, partition, f"{self._log_topic}-{partition}")

    # Results and commands.

    def positions(self) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        return {tp: tracker.position for tp, tracker in self._owned.trackers().items()}

    async def take(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        """See worker_runtime.Worker."""
        await take_records(tp, records, self._owned, self._intake, self._losses)

    async def send_to_dead_letters(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        """See DeliveryEscalation."""
        _log.error("not delivered: to the dead letters", call=delivery.call_id, portal=delivery.portal, why=why)
        metrics.DEAD_LETTERS.labels(self.name, reason.code).inc()
        source = delivery.source_topic, delivery.source_partition, delivery.source_offset
        origin = Origin(*source, delivery.call_id.encode(), delivery.result, delivery.result_headers)
        await (await self._dead_letters.send(origin, reason, why, call_id=delivery.call_id, portal=delivery.portal))

    async def disable_portal(self, queue: PortalQueue, why: str) -> None:
        """See DeliveryEscalation."""
        if queue.portal.name in self._disabled:
            return  # the answer to a request from before
        self._close_portal(queue, why)
        if not self._logs:
            return  # released meanwhile: the portal says it again to the next owner
        partition = min(self._logs)  # any that is owned: its fence holds for what is written beside its log too
        await self._portal_states.disable(queue.portal, why, partition, self._logs[partition])

    def _close_portal(self, queue: PortalQueue, why: str) -> None:
        self._disabled.add(queue.portal.name)
        queue.throttle.disable(why)
        remedy = (
            f"cel2crm portal enable {queue.portal.name}, or another address or secret, and a restart; calls are kept"
        )
        _log.error("portal is disabled, it gets nothing more", portal=queue.portal.name, why=why, remedy=remedy)
