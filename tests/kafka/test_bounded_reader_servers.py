"""Partitions of a real broker, read up to where they end at the call and no longer than brokers are silent."""

import time
import uuid
from collections.abc import AsyncIterator, Collection, Sequence

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from deploy.local import LocalStack
from streams.kafka.admin import KafkaAdmin
from streams.kafka.bounded_reader import BoundedReader, ExpiredRecords
from tests.brokers import brokers

pytestmark = pytest.mark.servers


class Topic:
    """A topic of two partitions on the shared broker."""

    def __init__(self, servers: str, name: str) -> None:
        self.servers = servers
        self.name = name
        self.partitions = [TopicPartition(name, 0), TopicPartition(name, 1)]

    async def write(self, partition: int, values: Collection[bytes], transaction: str | None = None) -> None:
        """Append records; `transaction`: `commit`, `abort`, or none at all."""
        transactional_id = f"{self.name}-{transaction}" if transaction else None
        async with AIOKafkaProducer(bootstrap_servers=self.servers, transactional_id=transactional_id) as producer:
            if transaction:
                await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(self.name, value, partition=partition)
            if transaction == "commit":
                await producer.commit_transaction()
            elif transaction == "abort":
                await producer.abort_transaction()

    async def remove_before(self, partition: int, offset: int) -> None:
        """Do what retention does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await admin.delete_records({self.partitions[partition]: RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()


@pytest.fixture
async def topic(stack: LocalStack) -> AsyncIterator[Topic]:
    made = Topic(stack.endpoints.bootstrap_servers, f"bounded-{uuid.uuid4().hex[:8]}")
    async with KafkaAdmin(brokers(made.servers)) as admin:
        await admin.create(made.name, 2, 1, {})
        await admin.until_known([made.name])
    yield made


async def values(batches: AsyncIterator[Sequence[ConsumerRecord]]) -> list[tuple[int, bytes]]:
    """Partition and value of every record."""
    return [(record.partition, record.value) async for records in batches for record in records]


async def test_every_partition_is_read_from_its_start_to_its_end_as_of_the_call(topic: Topic) -> None:
    await topic.write(0, [b"a", b"b", b"c"])
    await topic.write(1, [b"x", b"y"])
    async with BoundedReader(brokers(topic.servers)) as reader:
        batches = reader.read(topic.partitions, starts={topic.partitions[0]: 1})
        first = [(record.partition, record.value) for record in await anext(batches)]
        await topic.write(0, [b"too late"])
        await topic.write(1, [b"too late"])
        assert sorted(first + await values(batches)) == [(0, b"b"), (0, b"c"), (1, b"x"), (1, b"y")]
        assert await values(reader.read(topic.partitions, starts=await reader.ends(topic.partitions))) == []
        upto = reader.read(topic.partitions[:1], ends={topic.partitions[0]: 2})
        assert await values(upto) == [(0, b"a"), (0, b"b")]


async def test_many_records_come_in_batches_in_the_order_of_their_offsets(topic: Topic) -> None:
    async with AIOKafkaProducer(bootstrap_servers=topic.servers, linger_ms=20) as producer:
        for number in range(5000):
            await producer.send(topic.name, b"%d" % number, partition=0)
    async with BoundedReader(brokers(topic.servers)) as reader:
        batches = [records async for records in reader.read(topic.partitions)]
    assert len(batches) > 1
    assert [int(record.value) for records in batches for record in records] == list(range(5000))


async def test_only_committed_records_are_given_unless_asked_otherwise(topic: Topic) -> None:
    await topic.write(0, [b"kept"], "commit")
    await topic.write(0, [b"given up"], "abort")
    async with BoundedReader(brokers(topic.servers)) as reader:  # the partition ends with a mark that is not a record
        assert await values(reader.read(topic.partitions)) == [(0, b"kept")]
    async with BoundedReader(brokers(topic.servers), uncommitted=True) as reader:
        assert await values(reader.read(topic.partitions)) == [(0, b"kept"), (0, b"given up")]


async def test_a_start_that_expired_is_told_with_the_offsets_that_are_lost(topic: Topic) -> None:
    await topic.write(0, [b"a", b"b", b"c", b"d"])
    await topic.remove_before(0, 3)
    told: list[ExpiredRecords] = []
    async with BoundedReader(brokers(topic.servers)) as reader:
        left = reader.read(topic.partitions[:1], starts={topic.partitions[0]: 1}, on_expired=told.append)
        assert await values(left) == [(0, b"d")]
        assert told == [ExpiredRecords(topic.name, 0, 1, 3)]
        told.clear()
        part = {topic.partitions[0]: 2}
        assert await values(reader.read(part, starts={topic.partitions[0]: 0}, ends=part, on_expired=told.append)) == []
        assert told == [ExpiredRecords(topic.name, 0, 0, 2)]


async def test_records_that_expire_while_they_are_read_are_told_and_the_rest_is_read(topic: Topic) -> None:
    await topic.write(0, [b"a", b"b", b"c", b"d"])

    class Overtaken(BoundedReader):
        """Retention acts between the question where the partition begins and the first fetch."""

        asked = 0

        async def begins(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
            found = await super().begins(partitions)
            self.asked += 1
            if self.asked == 1:
                await topic.remove_before(0, 2)
            return found

    told: list[ExpiredRecords] = []
    async with Overtaken(brokers(topic.servers)) as reader:
        assert await values(reader.read(topic.partitions, on_expired=told.append)) == [(0, b"c"), (0, b"d")]
    assert told == [ExpiredRecords(topic.name, 0, 0, 2)]


async def test_records_that_do_not_come_end_the_reading_with_the_place_where_it_stands(topic: Topic) -> None:
    await topic.write(0, [b"a"])
    began = time.monotonic()
    async with BoundedReader(brokers(topic.servers), silence_seconds=1.0) as reader:
        batches = reader.read(topic.partitions[:1], ends={topic.partitions[0]: 7})
        assert [record.value for record in await anext(batches)] == [b"a"]
        with pytest.raises(TimeoutError, match=rf"no record for 1 s: {topic.name}/0 at 1 of 7"):
            await anext(batches)
    assert time.monotonic() - began < 10
