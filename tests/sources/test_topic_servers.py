"""One call read from the cel topic of a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from deploy.demo.recordings import RECORDINGS
from deploy.local import LocalStack
from streams.errors import UserError
from streams.kafka.admin import KafkaAdmin
from streams.rows.row import RowDecoder
from streams.sources.finding import FileFinder, find_call
from streams.sources.topic import TopicFinder
from tests.brokers import brokers

pytestmark = pytest.mark.servers

TOPIC = "explain-cel"
PICKED_UP, PICKER = "1795389970.80", "1795389971.82"
CASES = [json.loads(line) for line in RECORDINGS.read_text(encoding="utf-8").splitlines()][:30]
PICKUP = next(
    json.loads(line)
    for line in RECORDINGS.read_text(encoding="utf-8").splitlines()
    if "inbound_pickup_directed" in line
)


@pytest.fixture(scope="module")
async def topic(stack: LocalStack) -> AsyncIterator[TopicFinder]:
    """Recorded rows as the connector writes them, on three partitions, with rubbish between them."""
    servers = stack.endpoints.bootstrap_servers
    async with KafkaAdmin(brokers(servers)) as admin:
        await admin.create(TOPIC, 3, 1, {})
        await admin.until_known([TOPIC])
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        for row in (row for case in [*CASES, PICKUP] for row in case["cel"]):
            value = {**row, "__op": "c", "__source_ts_ms": "1", "__source_name": "office"}
            await producer.send(TOPIC, json.dumps(value).encode(), key=row["linkedid"].encode())
        await producer.send_and_wait(TOPIC, b"rubbish", key=PICKED_UP.encode())
    finally:
        await producer.stop()
    yield TopicFinder(brokers(servers), TOPIC, RowDecoder())


async def test_a_call_is_found_in_its_partition_and_its_linked_call_in_another(topic: TopicFinder) -> None:
    found = await asyncio.to_thread(find_call, topic, PICKED_UP)
    in_file = find_call(FileFinder([RECORDINGS], RowDecoder()), PICKED_UP)
    assert {linkedid: call.version for (_, linkedid), call in found.calls.items()} == {
        linkedid: call.version for (_, linkedid), call in in_file.calls.items()
    }
    assert {call.pbx for call in found.own} == {"office"}


async def test_only_records_up_to_the_end_are_read_and_a_call_that_is_not_there_ends_at_once(
    topic: TopicFinder,
) -> None:
    with pytest.raises(UserError, match=r"no row of call 1795389970\.9999 in topic explain-cel"):
        await asyncio.to_thread(find_call, topic, "1795389970.9999")


async def test_a_call_begun_after_the_last_record_is_looked_for_nowhere(topic: TopicFinder) -> None:
    with pytest.raises(UserError, match="no row of call"):
        await asyncio.to_thread(find_call, topic, "4000000000.1")


async def test_neither_topic_nor_broker_is_one_message(topic: TopicFinder) -> None:
    with pytest.raises(UserError, match="there is no topic nothing"):
        await asyncio.to_thread(find_call, TopicFinder(topic.kafka, "nothing", topic.decoder), PICKED_UP)
    with pytest.raises(UserError, match=r"no Kafka broker at 127\.0\.0\.1:1"):
        await asyncio.to_thread(find_call, TopicFinder(brokers("127.0.0.1:1"), TOPIC, topic.decoder), PICKED_UP)
