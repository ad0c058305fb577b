"""What the aggregate worker says of rows that retention removed before it took them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from faust.types import TP

from streams.kafka import lost_records
from streams.kafka.committed import Committed
from streams.kafka.lost_records import EXPIRED, MADE_AGAIN, SET_BY_HAND, Lost
from streams.workers.aggregate.holes import Holes
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.worker import AggregateWorker
from tests.worker_installation import Installation, NewInstallation, captured

pytestmark = pytest.mark.servers

ROWS, CALL = 10, "1795389780.0"
COMMITTED_MS = 1_795_389_780_000


class Group:
    """The membership of the consumer group, as far as a take-over asks it."""

    def __init__(self, committed: Committed, first: int) -> None:
        self._committed = committed
        self._first = first
        self.end = ROWS

    async def bounds(self, tp: TP) -> tuple[int, int]:
        return self._first, self.end

    async def committed_marked(self, tp: TP) -> Committed | None:
        return self._committed

    async def commit_marked(self, tp: TP, offset: int, metadata: str) -> bool:
        self._committed = Committed(offset, metadata)
        return True


@pytest.fixture
async def installation(install: NewInstallation) -> AsyncIterator[Installation]:
    """Ten rows of one call on the only partition of its topic."""
    made = install()
    made.partitions = 1
    async with made:
        row = {"eventtype": "APP_START", "eventtime": "2026-11-23 10:00:00", "uniqueid": CALL, "linkedid": CALL}
        await made.produce([captured({**row, "id": number}, commit_ms=COMMITTED_MS) for number in range(1, ROWS + 1)])
        yield made


async def remove_before(installation: Installation, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(installation.topic("cel"), 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


class Losses:
    """What was reported as lost."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, int, str, int | None, str]] = []

    async def report(self, lost: Lost, since: str) -> None:
        self.reported.append((lost.first, lost.next, lost.cause, lost.since_ms, since))


async def taken_over(
    installation: Installation, group: Group, *, rows_of_a_segment: int | None = None
) -> tuple[Any, list[Any]]:
    """The partition after its take-over, and what was reported as lost; with segments: after a flush, too."""
    worker = AggregateWorker(installation.settings)
    worker._group = group  # type: ignore[assignment]
    losses = Losses()
    worker._holes = Holes(worker._settings, worker._group, worker._ends, losses)  # type: ignore[arg-type]
    assigned = await worker._take_over(TP(installation.topic("cel"), 0))
    if rows_of_a_segment is not None:
        assigned.partition.segment_rows = rows_of_a_segment
        await assigned.checkpoint(flush=True)
    await assigned._log.close()
    return assigned.partition, losses.reported


async def test_a_replay_takes_the_rows_between_marker_and_commit(installation: Installation) -> None:
    committed = Committed(8, Marker(2, {"pbx1": COMMITTED_MS}).encode())
    partition, errors = await taken_over(installation, Group(committed, 0))
    [call] = partition.calls.values()
    assert (call.call.version, partition.position, errors) == ((8, 6), 8, [])


async def test_a_long_call_is_taken_over_from_its_segments(installation: Installation) -> None:
    group = Group(Committed(8, Marker(0, {"pbx1": COMMITTED_MS}).encode()), 0)
    await taken_over(installation, group, rows_of_a_segment=3)
    partition, errors = await taken_over(installation, group)
    [call] = partition.calls.values()
    assert (call.call.version, call.segments.written, partition.position, errors) == ((8, 8), 2, 8, [])


async def test_rows_that_expire_before_their_replay_are_told_and_the_others_are_replayed(
    installation: Installation,
) -> None:
    await remove_before(installation, 5)  # after the group was asked where the topic begins
    committed = Committed(8, Marker(2, {"pbx1": COMMITTED_MS}).encode())
    partition, lost = await taken_over(installation, Group(committed, 0))
    [call] = partition.calls.values()
    assert call.call.version == (8, 3)
    assert lost == [
        (2, 5, EXPIRED, COMMITTED_MS, "2026-11-23T10:00:00")
    ]  # since the first row of the call that is open


async def test_rows_that_expired_before_they_were_ever_taken_are_told(installation: Installation) -> None:
    await remove_before(installation, 9)
    committed = Committed(4, Marker(4, {"pbx1": 1}).encode())
    partition, lost = await taken_over(installation, Group(committed, 9))
    assert partition.position == 9
    [(first, following, cause, since_ms, _)] = lost
    assert (first, following, cause, since_ms) == (4, 9, EXPIRED, 1)


async def test_rows_that_are_passed_over_by_an_offset_set_by_hand_are_told(installation: Installation) -> None:
    partition, lost = await taken_over(installation, Group(Committed(6, ""), 0))
    assert partition.position == 6
    assert [(first, following, cause) for first, following, cause, _, _ in lost] == [(0, 6, SET_BY_HAND)]


async def test_an_offset_set_back_to_the_first_row_loses_nothing(installation: Installation) -> None:
    partition, lost = await taken_over(installation, Group(Committed(0, ""), 0))
    assert (partition.position, lost) == (0, [])


async def test_a_topic_that_was_made_again_is_read_from_its_first_row(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_records, "_CATCH_UP_SECONDS", 0.1)
    partition, lost = await taken_over(installation, Group(Committed(642, Marker(640, {"pbx1": 1}).encode()), 0))
    assert (partition.position, partition.times, lost) == (0, {}, [])


async def test_a_topic_that_was_made_again_and_has_as_many_rows_by_now_is_read_from_its_first_row(
    installation: Installation,
) -> None:
    before = Marker(8, {"pbx1": COMMITTED_MS - 1})
    partition, lost = await taken_over(installation, Group(Committed(8, before.encode()), 0))
    assert (partition.position, partition.times) == (0, {})
    assert [each[:4] for each in lost] == [(0, 0, MADE_AGAIN, COMMITTED_MS - 1)]


async def test_a_topic_whose_last_row_the_checkpoint_knows_is_read_on(installation: Installation) -> None:
    known = Marker(8, {"pbx1": COMMITTED_MS})
    partition, lost = await taken_over(installation, Group(Committed(8, known.encode()), 0))
    assert (partition.position, lost) == (8, [])


async def test_a_last_row_whose_transaction_is_open_is_looked_at_as_the_group_does(installation: Installation) -> None:
    row = {"eventtype": "APP_END", "eventtime": "2026-11-23 10:00:00", "uniqueid": CALL, "linkedid": CALL, "id": 99}
    producer = AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers, transactional_id="open")
    await producer.start()
    try:
        await producer.begin_transaction()
        value = json.dumps(captured(row, commit_ms=COMMITTED_MS)).encode()
        await producer.send_and_wait(installation.topic("cel"), value, key=CALL.encode(), partition=0)
        group = Group(Committed(ROWS + 1, Marker(ROWS + 1, {"pbx1": COMMITTED_MS - 1}).encode()), 0)
        group.end = ROWS + 1
        async with asyncio.timeout(20):
            partition, lost = await taken_over(installation, group)
        assert (partition.position, [each[2] for each in lost]) == (0, [MADE_AGAIN])
    finally:
        await producer.stop()
