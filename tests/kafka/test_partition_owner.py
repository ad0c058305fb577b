"""Partitions are taken over all or not at all; one that falls silent ends the process."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from streams.kafka import partition_owner
from streams.kafka.dead_letters import Origin
from streams.kafka.partition_owner import BrokerLooks, SilenceWatchdog, take_over_all

ONE, TWO, THREE = TP("cel", 1), TP("cel", 2), TP("cel", 3)


class Takeovers:
    """Take-overs that a test lets end, and what was released."""

    def __init__(self, *partitions: TP) -> None:
        self.ends: dict[TP, asyncio.Future[str]] = {tp: asyncio.get_running_loop().create_future() for tp in partitions}
        self.cancelled: list[TP] = []
        self.released: list[str] = []
        self.result = asyncio.ensure_future(take_over_all(partitions, self.take_over, self.release))

    async def take_over(self, tp: TP) -> str:
        try:
            return await self.ends[tp]
        except asyncio.CancelledError:
            self.cancelled.append(tp)
            raise

    async def release(self, owned: str) -> None:
        self.released.append(owned)


async def test_all_partitions_are_taken_over_side_by_side() -> None:
    takeovers = Takeovers(ONE, TWO)
    await asyncio.sleep(0)
    takeovers.ends[TWO].set_result("two")
    takeovers.ends[ONE].set_result("one")
    assert await takeovers.result == {ONE: "one", TWO: "two"}
    assert takeovers.released == []


async def test_where_one_fails_the_others_are_cancelled_or_released() -> None:
    takeovers = Takeovers(ONE, TWO, THREE)
    await asyncio.sleep(0)
    takeovers.ends[THREE].set_result("three")
    takeovers.ends[ONE].set_exception(TimeoutError("brokers are down"))
    with pytest.raises(TimeoutError, match="brokers are down"):
        await takeovers.result
    assert takeovers.cancelled == [TWO]
    assert takeovers.released == ["three"]


async def test_a_rebalance_that_cancels_the_take_over_leaves_nothing_owned() -> None:
    takeovers = Takeovers(ONE, TWO)
    await asyncio.sleep(0)
    takeovers.ends[ONE].set_result("one")
    await asyncio.sleep(0)
    takeovers.result.cancel()
    with pytest.raises(asyncio.CancelledError):
        await takeovers.result
    assert (takeovers.cancelled, takeovers.released) == ([TWO], ["one"])


class Watched:
    """A watchdog whose clock a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.ends: list[str] = []
        self.watchdog = SilenceWatchdog(180.0, lambda: self.now)
        monkeypatch.setattr(partition_owner, "hard_exit", self.ends.append)

    def check(self, seconds: float, position: int, end: int, tp: TP = ONE) -> None:
        self.now = seconds
        self.watchdog.check(tp, position, end)


def test_records_that_wait_and_do_not_come_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.check(0, 5, 9)
    watched.check(180, 5, 9)
    assert watched.ends == []
    watched.check(181, 5, 9)
    assert watched.ends == [f"records wait on {ONE}, and none has come for 180 s"]


@pytest.mark.parametrize(("position", "end"), [(6, 9), (5, 5)], ids=["a record came", "none waits"])
def test_progress_and_an_empty_partition_are_not_silence(
    monkeypatch: pytest.MonkeyPatch, position: int, end: int
) -> None:
    watched = Watched(monkeypatch)
    watched.check(0, 5, 9)
    watched.check(100, position, end)
    watched.check(279, position, max(end, 9))
    assert watched.ends == []
    watched.check(281, position, max(end, 9))
    assert len(watched.ends) == 1


def test_silence_is_counted_anew_for_each_assignment_and_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.check(0, 5, 9)
    watched.check(100, 5, 9, TWO)
    watched.watchdog.restart()
    watched.check(200, 5, 9)
    watched.check(270, 5, 9, TWO)
    assert watched.ends == []


def test_the_brokers_are_asked_at_every_turn_while_anything_moves_and_seldom_at_rest() -> None:
    now = 0.0
    looks = BrokerLooks(5.0, lambda: now)
    assert looks.due({ONE: 5}) and not looks.due({ONE: 5})
    assert looks.due({ONE: 5}, busy=True)
    assert looks.due({ONE: 6}) and looks.due({ONE: 6, TWO: 0})
    now = 4.9
    assert not looks.due({ONE: 6, TWO: 0})
    now = 5.0
    assert looks.due({ONE: 6, TWO: 0}) and not looks.due({ONE: 6, TWO: 0})


def test_the_origin_of_a_record_has_its_time_in_milliseconds_and_its_headers() -> None:
    record = ConsumerRecord("cel", 1, 7, -1, 0, b"k", b"v", None, 1, 1, ())
    assert Origin.of(record) == Origin("cel", 1, 7, b"k", b"v", (), None)
    full = replace(record, headers=(("a", b"1"),), timestamp=12346)
    assert Origin.of(full) == Origin("cel", 1, 7, b"k", b"v", (("a", b"1"),), 12346)
