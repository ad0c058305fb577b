"""Completed deliveries: little is kept of them in memory, and nothing is lost by that."""

import asyncio
import gc
import tracemalloc

import pytest
from msgspec.structs import replace

from schemas import Serializer, own_headers, written_as
from streams.delivery.answers import Succeeded
from streams.delivery.record import Action, Delivery, State
from streams.kafka.fenced_log import StoredRecord
from streams.kafka.set_aside import UnreadableRecord
from streams.settings import Settings
from streams.workers.deliver.completed import CompletedIndex
from tests.crm.calls import call_result
from tests.faults.fenced_memory import PartitionLog, Writer
from tests.operations.memory import MemoryRegistry
from tests.workers.deliver.test_partition import CALL, Crm, PartitionUnderTest, partition_under_test

LATER = call_result(1, version=CALL.version + 1, result=480, answered=False)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Offsets that were read again."""
    offsets: list[int] = []
    read_at = Writer.read_at

    async def counted(self: Writer, offset: int) -> StoredRecord | None:
        offsets.append(offset)
        return await read_at(self, offset)

    monkeypatch.setattr(Writer, "read_at", counted)
    return offsets


async def delivered(log: PartitionLog) -> None:
    async with partition_under_test(Crm([Succeeded({"note": "7"})]), log) as tested:
        await tested.partition.take_result(0, tested.arrived())
        await tested.until_state(State.DELIVERED)


async def all_logged(tested: PartitionUnderTest) -> None:
    """Wait until everything that was put stands in the log."""
    await tested.until(lambda: tested.partition.results.durable == tested.partition.results.position)
    await asyncio.sleep(0)  # its callbacks have run


@pytest.mark.parametrize("anew", [False, True], ids=["the same owner", "a new owner"])
async def test_a_later_version_finds_the_whole_delivery(anew: bool, read: list[int]) -> None:
    log = PartitionLog()
    if anew:
        await delivered(log)
    async with partition_under_test(Crm([Succeeded({"note": "7"})]), log) as tested:
        if not anew:
            await tested.partition.take_result(0, tested.arrived())
            await tested.until_state(State.DELIVERED)
            await all_logged(tested)
        await tested.partition.take_result(1, tested.arrived(LATER))
        superseded = await tested.until_state(State.SUPERSEDED)
    assert (superseded.version, superseded.sent_version) == (LATER.version, CALL.version)
    assert superseded.crm_ids == {"note": "7"} and len(superseded.history) == 1
    assert len(read) == 1


async def test_what_comes_again_is_told_without_the_log(read: list[int]) -> None:
    log = PartitionLog()
    await delivered(log)
    written = len(log.records)
    async with partition_under_test(Crm(), log) as tested:
        for offset in range(5):
            await tested.partition.take_result(offset, tested.arrived())
        assert tested.partition.remembers(CALL.call_id) and tested.partition.open_calls == 0
        assert tested.partition.results.durable == 5
    assert not read and len(log.records) == written


async def test_a_later_version_that_comes_before_the_end_is_durable() -> None:
    async with partition_under_test(Crm([Succeeded()])) as tested:
        await tested.partition.take_result(0, tested.arrived(skip="internal"))
        await tested.partition.take_result(1, tested.arrived(LATER, skip="internal"))
        await tested.until(lambda: (found := tested.logged()) is not None and found.version == LATER.version)
        assert tested.partition.open_calls == 0


async def test_a_delivery_that_is_lost_from_the_log_is_never_sent_again() -> None:
    log = PartitionLog()
    await delivered(log)
    async with partition_under_test(Crm(), log) as tested:
        log.records = [(b"another", b"") for _ in log.records]
        await tested.partition.take_result(0, tested.arrived(LATER))
        await tested.command(Action.DELIVER, arrived=tested.arrived(LATER))
        assert tested.partition.results.durable == 1 and tested.partition.open_calls == 0
    assert tested.crm.sent == []


async def test_a_delivery_that_cannot_be_read_stops_the_partition_unless_a_later_record_replaces_it() -> None:
    log = PartitionLog()
    await delivered(log)
    good = log.records[-1][1]
    log.records.append((CALL.call_id.encode(), b"\x00\x00\x00\x00\x01damaged"))
    damaged = f"log/0/{len(log.records) - 1}"
    with pytest.raises(UnreadableRecord, match="the worker stops") as stopped:
        async with partition_under_test(Crm(), log):
            pass
    assert stopped.value.place == damaged and f"topics set-aside {damaged}" in stopped.value.remedy
    log.records.append((CALL.call_id.encode(), good))
    async with partition_under_test(Crm(), log) as tested:
        assert tested.partition.remembers(CALL.call_id)


async def test_a_waiting_delivery_whose_result_is_damaged_stops_the_partition_with_words() -> None:
    log = PartitionLog()
    await delivered(log)
    key, queued = log.records[0]
    assert queued is not None
    serializer = Serializer(MemoryRegistry(Settings()))
    serializer.add_schema("delivery", 1)
    waiting = Delivery.from_record(serializer.decode_own(queued, "delivery", written_as(own_headers("delivery"))))
    assert waiting.result is not None
    damaged = replace(waiting, result=waiting.result[:20])
    log.records = [(key, serializer.encode("delivery", damaged.record()))]
    place = "log/0/0"
    with pytest.raises(UnreadableRecord, match="the worker stops") as stopped:
        async with partition_under_test(Crm(), log):
            pass
    assert stopped.value.place == place and f"topics set-aside {place}" in stopped.value.remedy


async def test_a_delivery_that_turns_unreadable_stops_what_needs_it() -> None:
    log = PartitionLog()
    await delivered(log)
    async with partition_under_test(Crm(), log) as tested:
        log.records = [(key, b"\x00\x00\x00\x00\x01damaged") for key, _ in log.records]
        with pytest.raises(UnreadableRecord):
            await tested.partition.take_result(0, tested.arrived(LATER))
    assert tested.crm.sent == []


async def test_what_ended_long_ago_is_forgotten_with_a_tombstone() -> None:
    log = PartitionLog()
    async with partition_under_test(Crm(), log) as tested:
        for number in range(1, 4):
            result = call_result(number)
            await tested.partition.take_result(number, tested.arrived(result, skip="internal"))
        await all_logged(tested)
        ended = [tested.logged(call_result(number).call_id) for number in range(1, 4)]
        times = [each.updated_at for each in ended if each is not None]
        assert tested.partition.forget(min(times)) == 0
        assert tested.partition.forget(max(times) + 1) == 3
        assert not tested.partition.remembers(CALL.call_id)
    assert log.values == {}
    async with partition_under_test(Crm(), log) as tested:
        assert not tested.partition.remembers(CALL.call_id)


async def test_a_new_owner_takes_the_last_state_of_each_call_however_long_the_log() -> None:
    log = PartitionLog()
    async with partition_under_test(Crm(), log) as tested:
        tested.queue.throttle.disable("so that they wait")
        for number in range(1, 21):
            await tested.partition.take_result(number, tested.arrived(call_result(number)))
            await tested.partition.take_result(
                20 + number, tested.arrived(call_result(number, version=(number << 20) + 6))
            )
        for number in range(1, 11):
            again = call_result(number, version=(number << 20) + 7)
            await tested.partition.take_result(40 + number, tested.arrived(again, skip="internal"))
        await all_logged(tested)
    log.records = log.records * 500  # far more than is kept unsorted, each call's last state at the end
    async with partition_under_test(Crm(), log) as tested:
        tested.queue.throttle.disable("so that they wait")
        assert tested.partition.open_calls == 10
        assert all(tested.partition.remembers(call_result(number).call_id) for number in range(1, 21))
        assert not tested.partition.remembers(call_result(21).call_id)


async def test_what_is_kept_of_a_call_that_is_over_does_not_grow_with_what_is_known_of_it() -> None:
    calls, log = 300, PartitionLog()
    async with partition_under_test(Crm(), log) as tested:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(calls):
                result = call_result(number)
                await tested.partition.take_result(number, tested.arrived(result, skip=f"{number} " + "x" * 10_000))
            await all_logged(tested)
            log.records.clear()
            log.digests.clear()
            del result
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 1000 * calls


async def test_a_call_that_ended_is_not_read_again_for_a_live_result_but_for_a_higher_correction() -> None:
    index = CompletedIndex(PartitionLog().fence(), Serializer(MemoryRegistry(Settings())), "log/0")
    index.put_logged(b"pbx1/1.1", 7, 5, 1, 0)
    assert index.ended_with("pbx1/1.1", (7, 0)) and index.ended_with("pbx1/1.1", (7, 5))
    assert not index.ended_with("pbx1/1.1", (7, 6)) and not index.ended_with("pbx1/1.1", (8, 0))
    unwritten = Delivery(call_id="pbx1/1.2", crm="kommo", portal="main", state=State.DELIVERED, version=7, correction=5)
    index.add(unwritten, asyncio.get_running_loop().create_future())
    assert index.ended_with("pbx1/1.2", (7, 5)) and not index.ended_with("pbx1/1.2", (7, 6))
