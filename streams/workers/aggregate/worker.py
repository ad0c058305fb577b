"""`cel2crm worker aggregate`: CEL rows in, each call's result and legs out.

A partition's state, and when it is durable, stand in partition_state.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import cast

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.calls.pbx_profile import PbxProfile
from streams.calls.snapshot import UnreadableSnapshot
from streams.clock import utc_now_ms
from streams.dead_letter_reasons import DeadLetterReason
from streams.errors import UnreadableRow
from streams.http.service import schema_registry
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.client import unreachable
from streams.kafka.dead_letters import DeadLetters
from streams.kafka.faust_overrides import App, Consumer
from streams.kafka.fenced_log import FencedLog
from streams.kafka.group_consumer import KnownEnd
from streams.kafka.hard_exit import hard_exit
from streams.kafka.lost_records import LossReporter
from streams.kafka.partition_owner import RELEASE_SECONDS, BrokerLooks, SilenceWatchdog, take_over_all
from streams.kafka.producer import IdempotentProducer
from streams.kafka.schema_registry import register_schemas, watch_registry
from streams.kafka.set_aside import SetAsideRecords
from streams.kafka.turn import Turn
from streams.rules import hash_in_force, load_rules
from streams.settings import Settings
from streams.topics import (
    AGGREGATE_CHECKPOINTS,
    CALL_LEGS,
    CALL_RESULTS,
    CALL_RESULTS_HASHED,
    CAPTURE_MARKS,
    CEL,
    COMPLETE_UNTIL,
    DEAD_LETTERS,
    RULES_IN_FORCE,
    SET_ASIDE_RECORDS,
)
from streams.workers.aggregate import metrics
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.call_warnings import warn_of_two_statuses
from streams.workers.aggregate.completeness import CompletenessTopics
from streams.workers.aggregate.erasures import Erasures
from streams.workers.aggregate.holes import Holes
from streams.workers.aggregate.other_workers import OtherWorkers
from streams.workers.aggregate.outgoing_records import OutgoingRecords
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.settling_calls import SettlingCalls
from streams.workers.aggregate.steps import Ended, Limits, RowRefused
from streams.workers.aggregate.take_over import reasons_before, take_over
from streams.workers.aggregate.unreadable_rows import UnreadableRows

_TICK_SECONDS = 1.0

_log = structlog.get_logger("aggregate")


class AggregateWorker:
    """The worker around the partitions' states: decodes rows, classifies calls, encodes results, sends them."""

    name = "aggregate"
    consumes: tuple[str, ...] = (CEL,)
    needs: tuple[str, ...] = (
        CALL_RESULTS, CALL_LEGS, AGGREGATE_CHECKPOINTS, DEAD_LETTERS, RULES_IN_FORCE, CAPTURE_MARKS, COMPLETE_UNTIL,
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        """Raises UserError for rules or patterns that cannot be used."""
        self._settings = settings
        self._topic = settings.kafka.topic
        self._limits = Limits.of(settings.aggregate)
        self._rules = load_rules(settings.rules)
        self._profile = PbxProfile.of(settings)
        self._rules_hash = hash_in_force(self._rules.hash, self._profile.hash)
        self._erasures = Erasures(settings, self._profile)
        self._others = OtherWorkers(settings, self._rules_hash, self._erasures.key_id)
        self._decoder = RecordDecoder(settings)
        self._unreadable = UnreadableRows(settings.aggregate.unreadable_window, settings.aggregate.max_unreadable_share)
        self._looked_back = False
        self._producer = IdempotentProducer(settings.kafka)
        self._ends = BoundedReader(settings.kafka, silence_seconds=10.0, uncommitted=True)
        self._set_aside = SetAsideRecords(settings.kafka, self._topic(SET_ASIDE_RECORDS))
        self._registry = schema_registry(settings.registry)
        self._further = (CALL_RESULTS_HASHED,) * settings.privacy.hashed_topic
        self.needs += self._further
        self._assigned: dict[TP, AssignedPartition] = {}
        self._watchdog = SilenceWatchdog()
        self._looks = BrokerLooks()
        self._retention_looks = BrokerLooks()
        self._group: Consumer
        self._outgoing: OutgoingRecords
        self._holes: Holes
        self._completeness: CompletenessTopics | None = None
        self._timers: list[asyncio.Task[None]] = []
        seconds = settings.aggregate.settle_seconds
        self._settling = SettlingCalls(seconds, self._ends, lambda: self._assigned, self._send_ended)

    async def start(self, group: Consumer) -> None:
        """See worker_runtime.Worker."""
        self._group = self._settling.group = group
        settings, topic = self._settings, self._topic
        written = (CALL_RESULTS, CALL_LEGS, DEAD_LETTERS, COMPLETE_UNTIL, *self._further)
        serializer = await register_schemas(self._registry, {topic(each): each.schema for each in written})
        await self._others.refuse_other_partitions()
        await self._erasures.read()
        try:
            await self._producer.start()
            await self._ends.__aenter__()
            self._completeness = await CompletenessTopics(settings.kafka, serializer).__aenter__()
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(settings.kafka, error) from None
        dead = DeadLetters(self._producer, serializer, topic(DEAD_LETTERS), self.name)
        self._outgoing = OutgoingRecords(settings, self._rules, self._profile, serializer, dead, self._erasures.known)
        losses = LossReporter(dead, DeadLetterReason.EXPIRED_ROWS, "", metrics.count_lost)
        self._holes = Holes(settings, group, self._ends, losses)
        _log.info(
            "aggregating",
            topic=topic(CEL),
            registry=settings.registry.url,
            rules=self._rules_hash,
            pbxs=settings.pbx_names,
            **settings.aggregate.model_dump(),
        )
        warn_of_two_statuses([name for name in settings.pbx_names if self._profile.of_pbx(name).two_status_mode])
        self._timers = [
            asyncio.create_task(self._timer(partial(asyncio.sleep, _TICK_SECONDS), self._tick)),
            asyncio.create_task(self._timer(self._settling.wait, self._settling.look)),
            asyncio.create_task(self._timer(partial(asyncio.sleep, _TICK_SECONDS), self._look_at_others)),
            asyncio.create_task(watch_registry(serializer)),
            asyncio.create_task(self._erasures.follow()),
        ]

    async def stop(self) -> None:
        """See worker_runtime.Worker."""
        for timer in self._timers:
            timer.cancel()
        if self._timers:
            await asyncio.wait(self._timers)
        await self._ends.__aexit__(None, None, None)
        if self._completeness is not None:
            await self._completeness.__aexit__(None, None, None)
        await self._producer.drain()
        await self._producer.stop()
        await self._registry.close()

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        await self._look_back(partitions)
        taken = await take_over_all(partitions, self._take_over, lambda each: each.release(RELEASE_SECONDS))
        own = self._settings.aggregate
        tell = {} if self._completeness is None else self._completeness.assigned(taken)
        for number, (tp, assigned) in enumerate(sorted(taken.items()), 1):
            first = own.snapshot_seconds * number / len(taken)
            assigned.start(own.flush_seconds, own.snapshot_seconds, tell.get(tp), first_flush_seconds=first)
        await self._others.tell(self._producer, [tp.partition for tp in taken])
        self._watchdog.restart()
        self._assigned = taken
        self._settling.wake()
        return self.positions()

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        assigned, self._assigned = self._assigned, {}
        if assigned:
            await asyncio.gather(*(each.release(RELEASE_SECONDS) for each in assigned.values()))

    def positions(self) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        return {tp: assigned.partition.position for tp, assigned in self._assigned.items()}

    async def take(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        """See worker_runtime.Worker. What the rows gave is handed to the producer before every await."""
        assigned = self._assigned.get(tp)
        if assigned is None:
            return
        partition = assigned.partition
        before, turn = partition.position, Turn()
        try:
            for record in records:
                if record.offset < partition.position:
                    continue
                if record.offset > partition.position or turn.is_over:
                    await assigned.send_gathered()
                    if record.offset > partition.position:
                        await self._holes.look_into(assigned, record)
                    else:
                        await turn.give_way()
                    if self._assigned.get(tp) is not assigned:
                        return
                try:
                    self._take_row(assigned, record)
                except UnreadableSnapshot as unreadable:
                    await assigned.send_gathered()
                    await self._set_aside.passing_over(partial(assigned.drop_unreadable, unreadable, self._set_aside))
                    if self._assigned.get(tp) is not assigned:
                        return
                    self._take_row(assigned, record)
        finally:
            metrics.ROWS.inc(partition.position - before)
            self._settling.rows_taken()
            await assigned.send_gathered()  # also before the record for which the worker stops

    def _take_row(self, assigned: AssignedPartition, record: ConsumerRecord) -> None:
        """Take a row and gather what it gave. Raises UserError: too many cannot be read; UnreadableSnapshot."""
        try:
            captured = self._decoder.decode(record.value, record.timestamp)
        except UnreadableRow as error:
            self._unreadable.add(str(error))
            if self._unreadable.too_many:
                raise self._unreadable.error(f"{record.topic}/{record.partition}/{record.offset}") from None
            assigned.partition.skip(record.offset)
            assigned.gather([self._outgoing.dead_letter(record, DeadLetterReason.UNREADABLE_ROW, str(error))])
            return
        effect = assigned.partition.row(record.offset, captured)
        self._unreadable.add(None)
        if effect is None:
            return
        if isinstance(effect, RowRefused):
            letter = self._outgoing.dead_letter(record, effect.reason, effect.explanation, effect.call_id)
            assigned.gather([letter])
        else:
            assigned.gather(self._outgoing.of_ended(effect, assigned.tp, record.offset))

    async def _timer(self, due: Callable[[], Awaitable[None]], act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await due()
            try:
                await act()
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("the end of the topic is not known; no call is ended by time", error=repr(error))
            except Exception as error:  # whatever it is: without the timer calls never end
                hard_exit("the timer failed", error)

    async def _send_ended(self, assigned: AssignedPartition, ended: Iterable[Ended]) -> None:
        tp, last = assigned.tp, assigned.partition.position - 1
        messages = [message for each in ended for message in self._outgoing.of_ended(each, tp, last)]
        if messages:
            await assigned.send(messages)

    async def _look_at_others(self) -> None:
        if (error := await self._others.look_when_due({tp.partition for tp in self._assigned})) is not None:
            cast(App, self._group.app).refuse(error)

    async def _tick(self) -> None:
        open_calls = sum(assigned.partition.open_calls for assigned in self._assigned.values())
        metrics.OPEN_CALLS.set(open_calls)
        metrics.KEPT_CALLS.set(sum(len(assigned.partition.calls) for assigned in self._assigned.values()))
        positions = self.positions()
        if not self._looks.due(positions, busy=open_calls > 0):
            return
        if self._retention_looks.due({}):
            for tp, first in (await self._group.first_offsets(self._assigned)).items():
                if assigned := self._assigned.get(tp):
                    metrics.RETENTION_MARGIN.labels(tp.partition).set(assigned.partition.position - first)
        ends = self._settling.known_ends(self._assigned)
        asked = await self._group.end_offsets(tp for tp in self._assigned if tp not in ends)
        ends |= {tp: KnownEnd(end, utc_now_ms()) for tp, end in asked.items()}
        for tp, assigned in list(self._assigned.items()):
            if (end := ends.get(tp)) is None:
                continue
            assigned.looked_at_ms = end.as_of_ms
            await self._send_ended(assigned, assigned.partition.tick(end.as_of_ms, end.offset))
            metrics.LAG.labels(tp.partition).set(max(0, end.offset - assigned.partition.position))
            self._watchdog.check(tp, positions.get(tp, 0), end.offset)

    async def _take_over(self, tp: TP) -> AssignedPartition:
        kafka, topic = self._settings.kafka, self._topic(AGGREGATE_CHECKPOINTS)
        log = FencedLog(kafka, topic, tp.partition, f"{topic}-{tp.partition}")
        try:
            partition, lost = await self._set_aside.passing_over(
                lambda: take_over(tp, self._group, log, kafka, self._limits, self._decoder, self._set_aside)
            )
            if lost is not None:
                await self._holes.report(partition, lost)
        except BaseException:
            await log.close()
            raise
        return AssignedPartition(tp, partition, log, self._group, self._producer)

    async def _look_back(self, partitions: Iterable[TP]) -> None:
        """Count the unreadable rows that an earlier process has passed, once in the life of this one."""
        if self._looked_back or not self._unreadable.can_be_too_many:
            return
        committed = {tp: await self._group.committed_marked(tp) for tp in partitions}
        positions = {tp: found.offset for tp, found in committed.items() if found is not None}
        self._looked_back = bool(committed)
        if positions:
            window, servers = self._settings.aggregate.unreadable_window, self._settings.kafka
            for reason in await reasons_before(positions, window, servers, self._decoder):
                self._unreadable.add(reason)
