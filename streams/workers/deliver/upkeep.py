"""The worker's regular work: offsets committed, overdue calls given up, old ones forgotten, gauges set; and the check
of its portals once it knows which of them it may ask."""

import asyncio
from collections.abc import Coroutine, Mapping

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.clock import MICROS_PER_DAY, utc_now_us
from streams.kafka.faust_overrides import Consumer
from streams.kafka.hard_exit import hard_exit
from streams.kafka.partition_owner import BrokerLooks, SilenceWatchdog
from streams.kafka.producer import IdempotentProducer
from streams.workers.deliver import metrics
from streams.workers.deliver.owned_partitions import OwnedPartitions
from streams.workers.deliver.partition import PartitionDeliveries
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.progress import OffsetTracker
from streams.workers.deliver.start_check import StartCheck

_COMMIT_SECONDS = 1.0
_SWEEP_SECONDS = 30.0

_log = structlog.get_logger("deliver")


class Upkeep:
    """Loops over the owned partitions, from `start` to `stop`. One that fails ends the process hard."""

    def __init__(
        self,
        crm: str,
        owned: OwnedPartitions,
        queues: Mapping[str, PortalQueue],
        producer: IdempotentProducer,
        remember_us: int,
        check: StartCheck,
    ) -> None:
        """`producer`: of the dead letters; `remember_us`: how long delivery remembers a call."""
        self._crm = crm
        self._owned = owned
        self._queues = queues
        self._producer = producer
        self._remember_us = remember_us
        self._check = check
        self._watchdog = SilenceWatchdog()
        self._looks = BrokerLooks()
        self._loops: list[asyncio.Task[None]] = []
        self._group: Consumer

    def start(self, group: Consumer, *others: Coroutine[None, None, None]) -> None:
        """Begin; offsets are committed for this group. `others`: loops that run as long."""
        self._group = group
        self._loops = [asyncio.create_task(loop) for loop in (self._commit_loop(), self._sweep_loop(), *others)]

    async def stop(self) -> None:
        """End the loops, and the check."""
        await self._check.stop()
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)

    def partitions_changed(self) -> None:
        """Watch the partitions anew: they have just been assigned. With the first ones it is known which portals want
        nothing more."""
        self._watchdog.restart()
        if self._owned.by_results:
            self._check.start_once(self._queues.values())

    async def commit(self, trackers: Mapping[TP, OffsetTracker]) -> None:
        """Commit the offsets up to which all changes are durable, in the log or in the dead letters.

        Raises KafkaError or TimeoutError.
        """
        offsets = {tp: tracker.durable for tp, tracker in trackers.items()}
        await self._producer.drain()
        for tp, offset in offsets.items():
            if offset > trackers[tp].committed and await self._group.commit_marked(tp, offset, trackers[tp].mark):
                trackers[tp].committed = offset

    async def _commit_loop(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            try:
                await self.commit(self._owned.trackers())
                await self._watch()
            except (KafkaError, TimeoutError) as error:
                _log.warning("Kafka does not answer", error=repr(error))
            except Exception as error:  # whatever the cause: offsets would never move again
                hard_exit("offsets cannot be committed", error)

    async def _watch(self) -> None:
        """Set the gauges, and end a consumer that went silent."""
        owned = self._owned.by_results
        positions = {tp: partition.results.position for tp, partition in owned.items()}
        if self._looks.due(positions):
            await self._look(owned, positions)
        metrics.WAITING.labels(self._crm).set(self._owned.open_calls)
        metrics.WAITING_FOLLOW_UPS.labels(self._crm).set(self._owned.followed_calls)
        for name, queue in self._queues.items():
            metrics.PAUSED.labels(self._crm, name).set(queue.throttle.pause_reason is not None)

    async def _look(self, owned: Mapping[TP, PartitionDeliveries], positions: Mapping[TP, int]) -> None:
        firsts = await self._group.first_offsets(owned)
        ends = await self._group.end_offsets(owned)
        for tp, partition in list(owned.items()):
            end = ends.get(tp, partition.results.position)
            metrics.LAG.labels(self._crm, tp.partition).set(max(0, end - partition.results.position))
            if (first := firsts.get(tp)) is not None:
                metrics.RETENTION_MARGIN.labels(self._crm, tp.partition).set(partition.results.position - first)
            self._watchdog.check(tp, positions.get(tp, 0), end)

    async def _sweep_loop(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                now = utc_now_us()
                for partition in list(self._owned.by_results.values()):
                    await partition.expire_overdue(now)
                    # A day more: the clocks of PBXs and workers differ, and a later version may end later.
                    partition.forget(now - self._remember_us - MICROS_PER_DAY)
            except Exception as error:  # whatever the cause: deadlines would never come
                hard_exit("deliveries cannot be swept", error)
