"""What the aggregate worker says of rows that retention removed before it took them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from faust.types import TP
from structlog.testing import capture_logs

from streams.kafka.committed import Committed
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.worker import AggregateWorker
from tests.worker_installation import Installation, NewInstallation, captured

pytestmark = pytest.mark.servers

ROWS, CALL = 10, "1795389780.0"


class Group:
    """The membership of the consumer group, as far as a take-over asks it."""

    def __init__(self, committed: Committed, first: int) -> None:
        self._committed = committed
        self._first = first

    async def bounds(self, tp: TP) -> tuple[int, int]:
        return self._first, ROWS

    async def committed_marked(self, tp: TP) -> Committed | None:
        return self._committed


@pytest.fixture
async def installation(install: NewInstallation) -> AsyncIterator[Installation]:
    """Ten rows of one call on the only partition of its topic."""
    made = install()
    made.partitions = 1
    async with made:
        row = {"eventtype": "APP_START", "eventtime": "2026-11-23 10:00:00", "uniqueid": CALL, "linkedid": CALL}
        await made.produce(
            [captured({**row, "id": number}, commit_ms=1_795_389_780_000) for number in range(1, ROWS + 1)]
        )
        yield made


async def remove_before(installation: Installation, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(installation.topic("cel"), 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


async def taken_over(installation: Installation, group: Group) -> tuple[Any, list[Any]]:
    """The partition after its take-over, and the errors logged."""
    worker = AggregateWorker(installation.settings)
    worker._group = group  # type: ignore[assignment]
    with capture_logs() as lines:
        assigned = await worker._take_over(TP(installation.topic("cel"), 0))
    await assigned._log.close()
    return assigned.partition, [line for line in lines if line["log_level"] == "error"]


async def test_a_replay_takes_the_rows_between_marker_and_commit(installation: Installation) -> None:
    committed = Committed(8, Marker(2, {"pbx1": 1}).encode())
    partition, errors = await taken_over(installation, Group(committed, 0))
    [call] = partition.calls.values()
    assert (call.call.version, partition.position, errors) == ((8, 6), 8, [])


async def test_rows_that_expire_before_their_replay_are_told_and_the_others_are_replayed(
    installation: Installation,
) -> None:
    await remove_before(installation, 5)  # after the group was asked where the topic begins
    committed = Committed(8, Marker(2, {"pbx1": 1}).encode())
    partition, [error] = await taken_over(installation, Group(committed, 0))
    [call] = partition.calls.values()
    assert call.call.version == (8, 3)
    assert (error["topic"], error["partition"]) == (installation.topic("cel"), 0)
    assert (error["first_lost_offset"], error["last_lost_offset"]) == (2, 4)


async def test_rows_that_expired_before_they_were_ever_taken_are_told(installation: Installation) -> None:
    await remove_before(installation, 9)
    committed = Committed(4, Marker(4, {"pbx1": 1}).encode())
    partition, [error] = await taken_over(installation, Group(committed, 9))
    assert partition.position == 9
    assert (error["first_lost_offset"], error["last_lost_offset"]) == (4, 8)
