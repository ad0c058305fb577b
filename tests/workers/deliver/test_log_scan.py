"""A delivery log whose calls were shared out by another number of partitions is not taken over."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord

from streams.delivery.portal_records import old_disabled_key
from streams.errors import UserError
from streams.kafka.fenced_log import FencedLog
from streams.kafka.set_aside import SetAsideRecords
from streams.kafka.topic_client import partition_of
from streams.workers.deliver.log_scan import read_log
from streams.workers.deliver.partition import PartitionDeliveries

OLD = old_disabled_key("main")
CALLS = [f"pbx1/1795867693.{number}".encode() for number in range(400)]


def log_of(partition: int, partitions: int, *others: bytes) -> FencedLog:
    """A partition as workers wrote it when there were so many."""
    own = [*others, *(key for key in CALLS if partition_of(key, partitions) == partition)]

    async def scan(take: Callable[[ConsumerRecord], None]) -> None:
        for offset, key in enumerate(own):
            take(cast(ConsumerRecord, SimpleNamespace(
                topic="t.deliveries-kommo", partition=partition, offset=offset, key=key, value=b"", headers=(),
            )))  # fmt: skip

    return cast(FencedLog, SimpleNamespace(topic="t.deliveries-kommo", partition=partition, scan=scan))


class Read:
    """Takes the records, as a partition does."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def read(self, key: bytes, *_: Any) -> None:
        self.keys.append(key)


async def scanned(log: FencedLog, partitions: int) -> tuple[list[bytes], list[ConsumerRecord]]:
    read = Read()
    set_aside = cast(SetAsideRecords, SimpleNamespace(holds=lambda _: False))
    of_portals = await read_log(log, cast(PartitionDeliveries, read), set_aside, partitions)
    return read.keys, of_portals


async def test_a_log_is_read_whole_and_old_records_of_portals_are_given_back() -> None:
    keys, of_portals = await scanned(log_of(0, 4, OLD), 4)
    assert keys == [OLD, *(key for key in CALLS if partition_of(key, 4) == 0)]
    assert [record.key for record in of_portals] == [OLD]


@pytest.mark.parametrize("partition", range(4))
async def test_calls_on_partitions_of_another_number_stop_the_worker(partition: int) -> None:
    with pytest.raises(UserError, match=r"t.deliveries-kommo/\d/\d+: by kafka.partitions \(6\) this call belongs"):
        await scanned(log_of(partition, 4), 6)
