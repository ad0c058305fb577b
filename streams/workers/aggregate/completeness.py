"""Tells until when the calls of a partition are complete: reads the marks of capture, writes the topic complete-until.

The record goes out in a transaction of the partition's own log, so that a process that was replaced cannot write an
older one over it. A reader of results alone can lag behind a reader of this topic, which is why each record says where
the results stand.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from schemas import MalformedRecord, Serializer, UnknownSchema, own_headers, written_as
from streams.calls.capture_mark import CaptureMark
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.gathered_questions import GatheredQuestions
from streams.settings import KafkaSettings
from streams.topics import CALL_LEGS, CALL_RESULTS, CAPTURE_MARKS, CEL, COMPLETE_UNTIL
from streams.workers.aggregate import metrics
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.complete_until import Complete, Completeness, Told

_CHECKPOINTS_BETWEEN = 6
"""A partition is told of at most once in so many checkpoints."""
_OF_LATE_SECONDS = 2.0
_MICROS = 1000

_log = structlog.get_logger("aggregate")


class CompletenessTopics:
    """The topics that are read for it, by one connection of the process; use in `async with`.

    The partitions of a process ask at about the same time: what is true of all of them is read once. Every method
    raises KafkaError, OSError or TimeoutError.
    """

    def __init__(self, kafka: KafkaSettings, serializer: Serializer) -> None:
        self.topic = kafka.topic
        self.serializer = serializer
        self._reader = BoundedReader(kafka, silence_seconds=10.0, uncommitted=True)  # ends behind open transactions too
        self._turn = asyncio.Lock()
        self._assignments = 0
        self._told: tuple[int, dict[int, dict[str, Told]]] | None = None
        """Partitions of the rows' topic, and what stands on the topic by partition and PBX."""
        self._last_marks: tuple[int, float, tuple[list[CaptureMark], int]] | None = None
        """The offset from which marks were read last, when, and the answer."""
        self._ends = GatheredQuestions(self._read_ends)

    async def __aenter__(self) -> "CompletenessTopics":
        await self._reader.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._reader.__aexit__(None, None, None)

    def assigned(self, partitions: Iterable[TP]) -> dict[TP, Callable[[AssignedPartition], Awaitable[None]]]:
        """What tells of each of these partitions, whose earlier owners were fenced: what they told is read anew."""
        self._assignments += 1
        self._told = None
        return {tp: PartitionCompleteness(tp, self).tell for tp in partitions}

    async def told(self, partition: int) -> tuple[int, dict[str, Told]]:
        """How many partitions the rows' topic has, and what stands on the topic about this one, by PBX."""
        async with self._turn:
            while self._told is None:
                assignments = self._assignments
                read = await self._reader.partitions(self.topic(CEL)), await self._read_told()
                if assignments == self._assignments:
                    self._told, self._last_marks = read, None  # marks are read after what was told by them
            return self._told[0], self._told[1].get(partition, {})

    async def _read_told(self) -> dict[int, dict[str, Told]]:
        """A later release's record counts as none."""
        found: dict[int, dict[str, Told]] = {}
        async for records in self._reader.read([TopicPartition(self.topic(COMPLETE_UNTIL), 0)]):
            for record in records:
                header = written_as(record.headers)
                if record.value is None or header is None:
                    continue
                try:
                    fields = self.serializer.decode_own(record.value, COMPLETE_UNTIL.schema, header)
                except (MalformedRecord, UnknownSchema):
                    continue
                until, captured = (fields[name] // _MICROS for name in ("complete_until", "captured_until"))
                found.setdefault(fields["partition"], {})[fields["pbx"]] = Told(until, captured)
        return found

    async def marks(self, start: int) -> tuple[list[CaptureMark], int]:
        """The marks from this offset on, and the offset to go on at: as of now, or of a moment ago."""
        now = asyncio.get_running_loop().time
        async with self._turn:
            last = self._last_marks
            if last is None or last[0] != start or now() - last[1] > _OF_LATE_SECONDS:
                last = self._last_marks = start, now(), await self._read_marks(start)
            return last[2]

    async def _read_marks(self, start: int) -> tuple[list[CaptureMark], int]:
        place = TopicPartition(self.topic(CAPTURE_MARKS), 0)
        found: list[CaptureMark] = []
        end = (await self._reader.ends([place]))[place]
        if end < start:
            start = 0  # the topic was made anew
        if end == start:
            return [], end  # nothing new: at rest, this is all that is asked
        begin = (await self._reader.begins([place]))[place]
        async for records in self._reader.read([place], starts={place: max(start, begin)}, ends={place: end}):
            for record in records:
                try:
                    found.append(CaptureMark.decode(record.value or b""))
                except msgspec.MsgspecError:
                    continue  # a later release's
        return found, end

    async def ends(self) -> tuple[list[int], list[int]]:
        """Of results and of legs, by partition: the offset behind the last record, not before this was asked; 0 where
        retention has left none: none is waited for."""
        return await self._ends.ask()

    async def _read_ends(self) -> tuple[list[int], list[int]]:
        async with self._turn:
            return await self._ends_of(self.topic(CALL_RESULTS)), await self._ends_of(self.topic(CALL_LEGS))

    async def _ends_of(self, topic: str) -> list[int]:
        places = [TopicPartition(topic, number) for number in range(await self._reader.partitions(topic))]
        begins, ends = await self._reader.begins(places), await self._reader.ends(places)
        return [ends[place] if ends[place] > begins[place] else 0 for place in places]


class PartitionCompleteness:
    """Tells of one partition while it is assigned to this process."""

    def __init__(self, tp: TP, topics: CompletenessTopics) -> None:
        self._tp = tp
        self._topics = topics
        self._completeness: Completeness | None = None
        self._next_mark = 0
        self._partitions = 0
        self._waits = 0

    async def tell(self, assigned: AssignedPartition) -> None:
        """Write what is new. Called after each checkpoint; what cannot be read or written now is tried again."""
        if self._waits:
            self._waits -= 1
            return
        # The second time sooner or later by the partition's number, so that those of a process take turns.
        self._waits = _CHECKPOINTS_BETWEEN - 1 if self._completeness else self._tp.partition % _CHECKPOINTS_BETWEEN
        try:
            completeness = await self._learned()
            partition = assigned.partition
            due = completeness.due(partition.position, partition.first_open_calls())
            if not due:
                return
            await assigned.all_acknowledged()
            if await assigned.write_to(self._topics.topic(COMPLETE_UNTIL), 0, await self._records(due), _HEADERS):
                completeness.acknowledged(due)
                self._show(due)
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("until when calls are complete is not told now", partition=self._tp, error=repr(error))

    async def _learned(self) -> Completeness:
        """With all marks that are there. The first time, what was told is read before them: whoever told it had its
        mark from there."""
        if self._completeness is None:
            self._partitions, told = await self._topics.told(self._tp.partition)
            self._completeness = Completeness(self._tp.partition, told)
        marks, self._next_mark = await self._topics.marks(self._next_mark)
        for mark in marks:
            self._completeness.take(mark)
        return self._completeness

    async def _records(self, due: list[Complete]) -> list[tuple[bytes, bytes | None]]:
        results, legs = await self._topics.ends()
        encode = self._topics.serializer.encode
        return [
            (
                f"{each.pbx}/{self._tp.partition}".encode(),
                encode(
                    COMPLETE_UNTIL.schema,
                    {
                        "pbx": each.pbx,
                        "partition": self._tp.partition,
                        "partitions": self._partitions,
                        "complete_until": each.until_ms * _MICROS,
                        "captured_until": each.captured_ms * _MICROS,
                        "held_by": each.held_by,
                        "results_ends": msgspec.json.encode(results).decode(),
                        "legs_ends": msgspec.json.encode(legs).decode(),
                    },
                ),
            )
            for each in due
        ]

    def _show(self, told: list[Complete]) -> None:
        for each in told:
            metrics.COMPLETE_UNTIL.labels(each.pbx, self._tp.partition).set(each.until_ms / 1000)
            if each.set_back:
                _log.warning(
                    "the clock of the PBX's database was set back: until when calls are complete goes back with it",
                    pbx=each.pbx,
                    partition=self._tp.partition,
                )


_HEADERS = own_headers(COMPLETE_UNTIL.schema)
