"""The records of a poll go through Faust as one message, and none is passed over."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from streams.kafka import batches
from streams.kafka.batches import Batch
from streams.kafka.faust_overrides import App
from streams.kafka.taking import take_batch
from streams.settings import Settings
from tests.kafka.unstarted import IdleOwner, unstarted

ONE, TWO = TP("cel", 1), TP("cel", 2)


def records(tp: TP, first: int, count: int) -> list[ConsumerRecord]:
    return [ConsumerRecord(*tp, offset, 5_000, 0, b"k", b"v", None, 1, 1, ()) for offset in range(first, first + count)]


class Polled:
    """A consumer whose polls a test gives, and what it hands to the agent."""

    def __init__(self, app: App, owner: IdleOwner) -> None:
        self.group, self.owner = app.group, owner
        self.app = app
        self.polls: asyncio.Queue[dict[TP, list[ConsumerRecord]]] = asyncio.Queue()
        self.handed: list[Batch] = []
        self.sought: list[Mapping[TP, int]] = []
        self.asked = 0
        group = cast(Any, self.group)
        group.callback, group._wait_next_records, group.seek_wait = self._take, self._poll, self._seek
        group.pause_partitions = group.resume_partitions = lambda _: None
        self.group.resume_flow()
        self.draining = asyncio.create_task(group._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))

    async def _poll(self, _: float) -> tuple[dict[TP, list[ConsumerRecord]], set[TP]]:
        self.asked += 1
        return await self.polls.get(), {ONE, TWO}

    async def _take(self, batch: Batch) -> None:
        self.handed.append(batch)

    async def _seek(self, to: Mapping[TP, int]) -> None:
        self.sought.append(dict(to))

    async def poll(self, **polled: list[ConsumerRecord]) -> None:
        """A poll's records, by ONE or TWO; waits until it is dealt with, or waits itself."""
        self.polls.put_nowait({{"one": ONE, "two": TWO}[name]: each for name, each in polled.items()})
        await self.settled()

    async def settled(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def shown(self) -> list[tuple[TP, int, int]]:
        """Partition, first and last offset of what was handed over."""
        return [
            (tp, records[0].offset, records[-1].offset) for batch in self.handed for tp, records in batch.polled.items()
        ]


@pytest.fixture
async def polled() -> AsyncIterator[Polled]:
    owner = IdleOwner()
    app = unstarted(Settings.model_validate({"worker": {"linger_seconds": 0}}), owner)
    polled = Polled(app, owner)
    yield polled
    polled.draining.cancel()
    await asyncio.wait([polled.draining])


async def test_one_message_for_a_poll_with_the_records_of_each_partition(polled: Polled) -> None:
    await polled.poll(one=records(ONE, 7, 3), two=records(TWO, 20, 400))
    assert polled.shown == [(ONE, 7, 9), (TWO, 20, 419)]
    assert [(batch.tp, batch.offset, batch.timestamp, batch.size) for batch in polled.handed] == [(ONE, 9, 5.0, 403)]
    await polled.poll(one=[])
    assert len(polled.handed) == 1


async def test_nothing_is_handed_over_while_the_flow_is_suspended_and_the_consumer_goes_back(polled: Polled) -> None:
    polled.owner.at = {ONE: 7, TWO: 20}
    polled.group._assigned = frozenset({ONE, TWO})
    await polled.group.perform_seek()
    assert polled.sought == [{ONE: 7, TWO: 20}]  # taken over
    await polled.poll(one=records(ONE, 7, 3))
    polled.owner.at = {ONE: 10, TWO: 20}
    polled.group.stop_flow()
    await polled.poll(one=records(ONE, 10, 5))
    assert polled.shown == [(ONE, 7, 9)]
    assert polled.sought[-1] == {ONE: 10, TWO: 20}  # the five come again
    polled.group.resume_flow()
    await polled.poll(one=records(ONE, 10, 5))
    assert polled.shown == [(ONE, 7, 9), (ONE, 10, 14)]


@pytest.mark.parametrize("ends", ["the flow", "the generation"])
async def test_what_ends_between_two_partitions_of_a_poll(polled: Polled, ends: str) -> None:
    await polled.poll(one=records(ONE, 7, 3), two=records(TWO, 20, 3))
    [batch] = polled.handed
    taken = []

    async def take(tp: TP, _: Any) -> None:
        taken.append(tp)
        if ends == "the flow":
            polled.app.flow_control.suspend()
        else:
            polled.app.consumer_generation_id += 1

    cast(Any, polled.owner).take = take
    polled.app.flow_control.resume()
    await take_batch(polled.app, polled.owner, batch)
    assert taken == [ONE]
    assert not polled.group.is_current(batch)


async def test_records_of_a_generation_that_is_over_are_not_handed_over(
    polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = iter((1, 2, 2, 2, 2))
    monkeypatch.setattr(App, "consumer_generation_id", property(lambda _: next(generations)))
    await polled.poll(one=records(ONE, 7, 3))
    assert polled.shown == []


async def test_it_fetches_no_more_until_there_is_room(polled: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_IN_FLIGHT", 10)
    await polled.poll(one=records(ONE, 0, 6), two=records(TWO, 0, 3))
    await polled.poll(one=records(ONE, 6, 6))
    assert polled.asked == 2
    first, second = polled.handed
    polled.group.taken(first)
    await polled.settled()
    assert polled.group._in_flight.count == 6 and polled.asked == 3
    polled.group.taken(second)
    assert polled.group._in_flight.count == 0


async def test_what_is_in_flight_of_an_earlier_generation_takes_no_room(polled: Polled) -> None:
    await polled.poll(one=records(ONE, 0, 6))
    [batch] = polled.handed
    polled.app.consumer_generation_id += 1
    polled.group._in_flight.forget()
    polled.group.taken(batch)
    assert polled.group._in_flight.count == 0


async def test_brokers_gather_records_for_a_fetch_while_they_come(polled: Polled) -> None:
    asked: list[float] = []
    cast(Any, polled.group)._thread.linger = asked.append
    polled.app.linger_seconds = 0.05
    again = asyncio.create_task(cast(Any, polled.group)._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))
    polled.draining.cancel()
    await polled.settled()
    await polled.poll(one=records(ONE, 0, 1))
    await polled.poll(one=records(ONE, 1, 60), two=records(TWO, 0, 60))
    await polled.poll()
    assert asked == [0.05, 0.05, 0.0]
    again.cancel()
    await asyncio.wait([again])
