"""Until when calls are complete, told by many partitions of one process: what is true of all of them is read once."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP

from schemas import SchemaRegistry, Serializer, own_headers
from streams.calls.capture_mark import CaptureMark
from streams.settings import Settings
from streams.topics import CALL_RESULTS, CAPTURE_MARKS, CEL, COMPLETE_UNTIL
from streams.workers.aggregate import completeness
from streams.workers.aggregate.complete_until import Told
from streams.workers.aggregate.completeness import CompletenessTopics

PARTITIONS = 96
START = 1_795_390_000_000


class Reader:
    """Topics in memory, and what was asked of them."""

    def __init__(self, topic: Any) -> None:
        self.records: dict[str, list[tuple[bytes, bytes]]] = {topic(COMPLETE_UNTIL): [], topic(CAPTURE_MARKS): []}
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def partitions(self, topic: str) -> int:
        """See BoundedReader."""
        self.asked.append(f"partitions of {topic}")
        await self.may_answer.wait()
        return PARTITIONS

    async def begins(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """See BoundedReader."""
        return dict.fromkeys(places, 0)

    async def ends(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """See BoundedReader."""
        return {place: len(self.records.get(place.topic, [])) for place in places}

    async def read(
        self, places: Sequence[TopicPartition], *, starts: Mapping[TopicPartition, int] | None = None, ends: Any = None
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """See BoundedReader."""
        [place] = places
        self.asked.append(f"records of {place.topic}")
        start = (starts or {}).get(place, 0)
        found = self.records[place.topic][start:]
        yield [
            ConsumerRecord(*place, start + at, 0, 0, key, value, None, 0, 0, own_headers(COMPLETE_UNTIL.schema))
            for at, (key, value) in enumerate(found)
        ]


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> tuple[CompletenessTopics, Reader]:
    serializer = Serializer(SchemaRegistry("http://nowhere"))
    serializer.add_schema(COMPLETE_UNTIL.schema, 1)
    made = CompletenessTopics(Settings().kafka, serializer)
    reader: Any = Reader(made.topic)
    made._reader = reader
    monkeypatch.setattr(completeness, "_OF_LATE_SECONDS", 60.0)
    return made, reader


def told(topics: CompletenessTopics, partition: int, until_ms: int) -> tuple[bytes, bytes]:
    fields = {
        "pbx": "north", "partition": partition, "partitions": PARTITIONS, "complete_until": until_ms * 1000,
        "captured_until": until_ms * 1000, "held_by": None, "results_ends": "[]", "legs_ends": "[]",
    }  # fmt: skip
    return b"north/%d" % partition, topics.serializer.encode(COMPLETE_UNTIL.schema, fields)


async def test_what_was_told_is_read_once_for_all_partitions_of_an_assignment(
    topics: tuple[CompletenessTopics, Reader],
) -> None:
    made, reader = topics
    reader.records[made.topic(COMPLETE_UNTIL)] = [told(made, 1, START), told(made, 1, START + 5)]
    assert len(made.assigned(TP(made.topic(CEL), number) for number in range(PARTITIONS))) == PARTITIONS
    answers = await asyncio.gather(*(made.told(number) for number in range(PARTITIONS)))
    assert answers[1] == (PARTITIONS, {"north": Told(START + 5, START + 5)})
    assert answers[0] == (PARTITIONS, {})
    assert len(reader.asked) == 2
    reader.records[made.topic(COMPLETE_UNTIL)].append(told(made, 1, START + 9))
    made.assigned([TP(made.topic(CEL), 1)])
    assert (await made.told(1))[1] == {"north": Told(START + 9, START + 9)}, (
        "an earlier owner told it until it was fenced"
    )


async def test_marks_are_read_once_for_all_but_never_before_what_was_told_by_them(
    topics: tuple[CompletenessTopics, Reader],
) -> None:
    made, reader = topics
    marks = reader.records[made.topic(CAPTURE_MARKS)]
    marks.append((b"north", CaptureMark("north", START, {0: 7}).encode()))
    await made.told(0)
    answers = await asyncio.gather(*(made.marks(0) for _ in range(PARTITIONS)))
    assert {end for _, end in answers} == {1} and reader.asked.count(f"records of {made.topic(CAPTURE_MARKS)}") == 1
    marks.append((b"north", CaptureMark("north", START + 60_000, {0: 9}).encode()))
    made.assigned([TP(made.topic(CEL), 1)])
    await made.told(1)
    found, end = await made.marks(0)
    assert [each.until_ms for each in found] == [START, START + 60_000] and end == 2


async def test_the_ends_of_results_are_as_new_as_the_question(topics: tuple[CompletenessTopics, Reader]) -> None:
    made, reader = topics
    reader.may_answer.clear()
    first = asyncio.create_task(made.ends())
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(made.ends()) for _ in range(PARTITIONS)]
    await asyncio.sleep(0.01)
    reader.records[made.topic(CALL_RESULTS)] = [(b"", b"")] * 3
    reader.may_answer.set()
    await first
    assert {results[0] for results, _ in await asyncio.gather(*later)} == {3}
    assert len(reader.asked) == 4, "results and legs, twice"
