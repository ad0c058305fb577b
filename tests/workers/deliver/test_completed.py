"""Deliveries that are over: little is kept of them in memory, and nothing is lost by that."""

import asyncio
import gc
import tracemalloc

import pytest

from streams.delivery.answers import Succeeded
from streams.delivery.record import Action, State
from tests.crm.calls import call_result
from tests.faults.fenced_memory import PartitionLog, Writer
from tests.workers.deliver.test_partition import CALL, Crm, PartitionUnderTest, desk

LATER = call_result(1, version=CALL.version + 1, result=480, answered=False)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Offsets that were read again."""
    offsets: list[int] = []
    read_at = Writer.read_at

    async def counted(self: Writer, offset: int) -> tuple[bytes, bytes] | None:
        offsets.append(offset)
        return await read_at(self, offset)

    monkeypatch.setattr(Writer, "read_at", counted)
    return offsets


async def delivered(log: PartitionLog) -> None:
    async with desk(Crm([Succeeded({"note": "7"})]), log) as made:
        await made.partition.fold(0, made.arrived())
        await made.until_state(State.DELIVERED)


async def seen(made: PartitionUnderTest) -> None:
    """Everything that was put stands in the log."""
    await made.until(lambda: made.partition.results.durable == made.partition.results.position)
    await asyncio.sleep(0)  # who waits for it has been told


@pytest.mark.parametrize("anew", [False, True], ids=["the same owner", "a new owner"])
async def test_a_later_version_finds_the_whole_delivery(anew: bool, read: list[int]) -> None:
    log = PartitionLog()
    if anew:
        await delivered(log)
    async with desk(Crm([Succeeded({"note": "7"})]), log) as made:
        if not anew:
            await made.partition.fold(0, made.arrived())
            await made.until_state(State.DELIVERED)
            await seen(made)
        await made.partition.fold(1, made.arrived(LATER))
        superseded = await made.until_state(State.SUPERSEDED)
    assert (superseded.version, superseded.sent_version) == (LATER.version, CALL.version)
    assert superseded.crm_ids == {"note": "7"} and len(superseded.history) == 1
    assert len(read) == 1


async def test_what_comes_again_is_told_without_the_log(read: list[int]) -> None:
    log = PartitionLog()
    await delivered(log)
    written = len(log.records)
    async with desk(Crm(), log) as made:
        for offset in range(5):
            await made.partition.fold(offset, made.arrived())
        assert made.partition.remembers(CALL.call_id) and made.partition.open_calls == 0
        assert made.partition.results.durable == 5
    assert not read and len(log.records) == written


async def test_a_later_version_that_comes_before_the_end_is_durable() -> None:
    async with desk(Crm([Succeeded()])) as made:
        await made.partition.fold(0, made.arrived(skip="internal"))
        await made.partition.fold(1, made.arrived(LATER, skip="internal"))
        await made.until(lambda: (found := made.logged()) is not None and found.version == LATER.version)
        assert made.partition.open_calls == 0


async def test_a_delivery_that_is_lost_from_the_log_is_never_sent_again() -> None:
    log = PartitionLog()
    await delivered(log)
    async with desk(Crm(), log) as made:
        log.records = [(b"another", b"") for _ in log.records]
        await made.partition.fold(0, made.arrived(LATER))
        await made.order(Action.DELIVER, arrived=made.arrived(LATER))
        assert made.partition.results.durable == 1 and made.partition.open_calls == 0
    assert made.crm.sent == []


async def test_what_ended_long_ago_is_forgotten_with_a_tombstone() -> None:
    log = PartitionLog()
    async with desk(Crm(), log) as made:
        for number in range(1, 4):
            result = call_result(number)
            await made.partition.fold(number, made.arrived(result, skip="internal"))
        await seen(made)
        ended = [made.logged(call_result(number).call_id) for number in range(1, 4)]
        times = [each.updated_at for each in ended if each is not None]
        assert made.partition.forget(min(times)) == 0
        assert made.partition.forget(max(times) + 1) == 3
        assert not made.partition.remembers(CALL.call_id)
    assert log.values == {}
    async with desk(Crm(), log) as made:
        assert not made.partition.remembers(CALL.call_id)


async def test_a_new_owner_takes_the_last_state_of_each_call_however_long_the_log() -> None:
    log = PartitionLog()
    async with desk(Crm(), log) as made:
        made.lane.gate.disable("so that they wait")
        for number in range(1, 21):
            await made.partition.fold(number, made.arrived(call_result(number)))
            await made.partition.fold(20 + number, made.arrived(call_result(number, version=(number << 20) + 6)))
        for number in range(1, 11):
            again = call_result(number, version=(number << 20) + 7)
            await made.partition.fold(40 + number, made.arrived(again, skip="internal"))
        await seen(made)
    log.records = log.records * 500  # far more than is kept unsorted, each call's last state at the end
    async with desk(Crm(), log) as made:
        made.lane.gate.disable("so that they wait")
        assert made.partition.open_calls == 10
        assert all(made.partition.remembers(call_result(number).call_id) for number in range(1, 21))
        assert not made.partition.remembers(call_result(21).call_id)


async def test_what_is_kept_of_a_call_that_is_over_does_not_grow_with_what_is_known_of_it() -> None:
    calls, log = 300, PartitionLog()
    async with desk(Crm(), log) as made:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(calls):
                result = call_result(number)
                await made.partition.fold(number, made.arrived(result, skip=f"{number} " + "x" * 10_000))
            await seen(made)
            log.records.clear()
            del result
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 1000 * calls
