"""The topic of erased numbers as a worker follows it: each record once, all again where the topic was made again."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from streams.errors import UserError
from streams.kafka import erased_topic
from streams.kafka.erased_topic import ErasedTopic
from streams.settings import KafkaSettings

PLACE = TopicPartition("cel2crm.erased-numbers", 0)


class Reader:
    """See streams.kafka.bounded_reader.BoundedReader."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.is_there = True
        self.asked = 0

    async def __aenter__(self) -> "Reader":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def partitions(self, topic: str) -> int:
        self.asked += 1
        return int(self.is_there)

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {PLACE: len(self.records)}

    async def read(
        self,
        partitions: Collection[TopicPartition],
        *,
        starts: Mapping[TopicPartition, int],
        on_expired: Callable[[Any], None],
    ) -> AsyncIterator[Sequence[Any]]:
        found = [
            SimpleNamespace(key=key, value=value, offset=offset)
            for offset, (key, value) in enumerate(self.records)
            if offset >= starts[PLACE]
        ]
        if found:
            yield found


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader()
    monkeypatch.setattr(erased_topic, "BoundedReader", lambda _: made)
    return made


def topic(took: list[tuple[bytes | None, bytes | None]]) -> ErasedTopic:
    return ErasedTopic(KafkaSettings(), PLACE.topic, lambda key, value: took.append((key, value)))


async def test_each_record_is_taken_once(reader: Reader) -> None:
    took: list[tuple[bytes | None, bytes | None]] = []
    followed = topic(took)
    reader.records = [(b"a", b"1")]
    await followed.read()
    await followed.read()
    reader.records.append((b"a", None))
    await followed.read()
    assert took == [(b"a", b"1"), (b"a", None)]
    assert reader.asked == 1, "all topics are asked for until it is there"


async def test_a_topic_that_is_not_there_holds_none_and_may_come(reader: Reader) -> None:
    took: list[tuple[bytes | None, bytes | None]] = []
    followed, reader.is_there, reader.records = topic(took), False, [(b"a", b"1")]
    await followed.read()
    assert took == []
    reader.is_there = True
    await followed.read()
    assert took == [(b"a", b"1")]


async def test_one_that_was_made_again_is_read_from_its_beginning(reader: Reader) -> None:
    took: list[tuple[bytes | None, bytes | None]] = []
    followed, reader.records = topic(took), [(b"a", b"1"), (b"b", b"2")]
    await followed.read()
    reader.records = [(b"c", b"3")]
    await followed.read()
    assert took[-1] == (b"c", b"3")


async def test_what_cannot_be_obeyed_ends_the_worker_with_words(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[UserError] = []

    def refuse(error: UserError) -> None:
        refused.append(error)
        raise SystemExit(2)

    def take(_key: bytes | None, _value: bytes | None) -> None:
        raise UserError("numbers were erased by another key")

    monkeypatch.setattr(erased_topic, "refuse", refuse)
    monkeypatch.setattr(erased_topic, "FOLLOW_SECONDS", 0.0)
    reader.records = [(b"a", b"1")]
    with pytest.raises(SystemExit):
        await ErasedTopic(KafkaSettings(), PLACE.topic, cast(Any, take)).follow()
    assert [str(each.problem) for each in refused] == ["numbers were erased by another key"]
