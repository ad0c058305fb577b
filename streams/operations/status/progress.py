"""The questions about workers: who holds which partitions, how far each group is, which record waits longest."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.clock import UtcMillis
from streams.kafka.admin import ConsumerGroup, KafkaAdmin
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.client import unreachable
from streams.operations.status.facts import PartitionProgress, WorkerFacts
from streams.settings import Settings
from streams.topics import CALL_RESULTS, CEL, DELIVERY_COMMANDS

AGGREGATE = "aggregate"

_LOOK_RECORDS = 200
"""Offsets from the next one on among which a record is looked for: where a transaction ended, there is none."""


def worker_names(settings: Settings) -> tuple[str, ...]:
    """The kinds of worker that these settings need: one for the rows, and one for each CRM with a portal."""
    return AGGREGATE, *dict.fromkeys(portal.crm for portal in settings.portals)


def topics_of(worker: str) -> tuple[str, ...]:
    """The topics that a kind of worker takes records from (short names)."""
    return (CEL,) if worker == AGGREGATE else (CALL_RESULTS, DELIVERY_COMMANDS)


class ProgressReader:
    """Asks the brokers; use in `async with`. Every method raises UserError: no broker."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        """`seconds`: limit of each answer."""
        self._settings = settings
        self._kafka = settings.kafka
        self._admin = KafkaAdmin(self._kafka, timeout_seconds=seconds)
        # As the workers read; of open transactions they take the records too.
        self._reader = BoundedReader(self._kafka, silence_seconds=seconds, uncommitted=True)

    async def __aenter__(self) -> "ProgressReader":
        await self._admin.__aenter__()
        try:
            await self._reader.__aenter__()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._admin.__aexit__(None, None, None)
            raise unreachable(self._kafka, error) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.__aexit__(None, None, None)
        await self._admin.__aexit__(None, None, None)

    async def look(self, before: Mapping[str, WorkerFacts] | None = None) -> dict[str, WorkerFacts]:
        """Every kind of worker; `before`: the first look, with which `moved` compares."""
        try:
            return {name: await self._worker(name, (before or {}).get(name)) for name in worker_names(self._settings)}
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None

    async def _worker(self, name: str, before: WorkerFacts | None) -> WorkerFacts:
        topics = [self._settings.kafka.topic(topic) for topic in topics_of(name)]
        counts = {topic: await self._reader.partitions(topic) for topic in topics}
        partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        # The group first: what is committed after that only makes the partitions look further behind.
        group = await self._admin.group(self._settings.kafka.topic(name))
        if not partitions:
            return WorkerFacts(name, group.state, group.members, (), missing_topics=tuple(topics))
        begins, ends = await asyncio.gather(self._reader.begins(partitions), self._reader.ends(partitions))
        progress = [_progress(each, group, begins[each], ends[each]) for each in partitions]
        moved = {(each.topic, each.partition): each.next for each in (before.partitions if before else ())}
        progress = [
            replace(each, moved=each.next > moved.get((each.topic, each.partition), each.next)) for each in progress
        ]
        times = await self._waiting_since([each for each in progress if each.waiting > 0])
        return WorkerFacts(
            name,
            group.state,
            group.members,
            tuple(
                replace(each, waiting_since=times.get(TopicPartition(each.topic, each.partition))) for each in progress
            ),
            missing_topics=tuple(topic for topic, count in counts.items() if not count),
        )

    async def _waiting_since(self, behind: Sequence[PartitionProgress]) -> dict[TopicPartition, UtcMillis]:
        """When the first record that was not taken was written, by partition."""
        starts = {TopicPartition(each.topic, each.partition): max(each.first, each.next) for each in behind}
        ends = {
            TopicPartition(each.topic, each.partition): min(each.end, max(each.first, each.next) + _LOOK_RECORDS)
            for each in behind
        }
        found: dict[TopicPartition, UtcMillis] = {}
        if starts:
            async for records in self._reader.read(list(starts), starts=starts, ends=ends):
                found.setdefault(TopicPartition(records[0].topic, records[0].partition), records[0].timestamp)
        return found


def _progress(partition: TopicPartition, group: ConsumerGroup, first: int, end: int) -> PartitionProgress:
    committed = group.committed.get(partition)
    return PartitionProgress(
        partition.topic,
        partition.partition,
        group.holders.get(partition),
        first,
        # Beyond the end: the topic was made again, and is read from its first record (kafka/lost_records.py).
        first if committed is None or committed > end else committed,
        end,
    )
