"""What a delivery worker says of results that it cannot take any more, and of copies on a wrong partition."""

import asyncio
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata
from msgspec.structs import replace

from streams.delivery.record import State
from streams.kafka.topic_client import partition_of
from streams.workers.deliver.commit_mark import commit_mark
from tests.worker_installation import Tail
from tests.workers.deliver.crm_installation import CrmInstallation, recent

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

NewInstallation = Callable[[int], CrmInstallation]


@pytest.fixture
def install(stack: "LocalStack", tmp_path: Path) -> NewInstallation:
    """Makes an installation with a fake Kommo, and so many partitions."""

    def new(partitions: int) -> CrmInstallation:
        servers, registry = stack.endpoints.bootstrap_servers, stack.endpoints.registry_url
        prefix = f"t{uuid.uuid4().hex[:8]}"
        return CrmInstallation(servers, registry, tmp_path, prefix, partitions=partitions, crm="kommo")

    return new


async def letters(installation: CrmInstallation, count: int) -> list[dict[str, Any]]:
    """The dead letters, when there are so many."""
    serializer = await installation.serializer()
    async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
        await dead.until(lambda records: len(records) >= count)
        return [serializer.decode(record.value, "dead_letter") for record in await dead.everything()]


async def stopped(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 30) == 0


async def gone(admin: AIOKafkaAdminClient, topic: str, seconds: float = 30.0) -> None:
    """Wait until a topic that was deleted is there no more."""
    async with asyncio.timeout(seconds):
        while True:
            if topic not in await admin.list_topics():
                return
            await asyncio.sleep(0.1)


async def commit_by_hand(
    installation: CrmInstallation, partition: TopicPartition, offset: int | OffsetAndMetadata
) -> None:
    """Commit an offset for the stopped worker's group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=installation.bootstrap_servers,
        group_id=installation.topic("kommo"),
        enable_auto_commit=False,
    )
    await consumer.start()
    consumer.assign([partition])
    await consumer.commit({partition: offset})
    await consumer.stop()


def remedy_of(letter: dict[str, Any]) -> str:
    [remedy] = [header["value"].decode() for header in letter["headers"] if header["name"] == "remedy"]
    assert remedy in letter["explanation"]
    return str(remedy)


async def test_results_that_expired_or_were_passed_over_are_told_with_what_recovers_them(
    install: NewInstallation,
) -> None:
    async with install(1) as installation:
        worker = installation.start_worker("kommo")
        await installation.produce_results([recent(1)])
        await installation.until_delivered([recent(1)])
        await stopped(worker)

        await installation.produce_results([recent(number) for number in (2, 3, 4, 5)])
        partition = TopicPartition(installation.topic("call-results"), 0)
        admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
        await admin.start()
        await admin.delete_records({partition: RecordsToDelete(before_offset=4)})
        await admin.close()
        worker = installation.start_worker("kommo")
        await installation.until_delivered([recent(1), recent(5)])
        [expired] = await letters(installation, 1)
        assert (expired["reason"], expired["component"], expired["offset"]) == ("expired_results", "kommo", 1)
        assert f"offsets 1 to 3 of {partition.topic}, partition 0 (3 records" in expired["explanation"]
        assert remedy_of(expired).startswith("cel2crm backfill --since 20")
        assert remedy_of(expired).endswith(" --deliver")
        await stopped(worker)

        await installation.produce_results([recent(6), recent(7)])
        await commit_by_hand(installation, partition, 6)  # as kafka-consumer-groups --reset-offsets does
        installation.start_worker("kommo")
        await installation.until_delivered([recent(1), recent(5), recent(7)])
        _, passed = await letters(installation, 2)
        assert (passed["reason"], passed["offset"]) == ("expired_results", 5)
        assert "offsets 5 to 5 of " in passed["explanation"] and "set by hand" in passed["explanation"]
        assert remedy_of(passed).endswith(" --deliver")


async def test_a_copy_on_a_wrong_partition_is_refused(install: NewInstallation) -> None:
    async with install(4) as installation:
        worker = installation.start_worker("kommo")
        result = recent(1)
        await installation.produce_results([result])
        await installation.until_delivered([result])
        key = result.call_id.encode()
        belongs = partition_of(key, 4)
        value = (await installation.serializer()).encode("call_result", result.record())
        producer = AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers)
        await producer.start()
        await producer.send_and_wait(installation.topic("call-results"), value, key=key, partition=(belongs + 1) % 4)
        await producer.stop()
        [letter] = await letters(installation, 1)
        assert (letter["reason"], letter["call_id"], letter["value"]) == ("wrong_partition", result.call_id, value)
        assert f"belongs to partition {belongs}" in letter["explanation"]
        await installation.until_delivered([result])  # once
        assert (await installation.deliveries())[result.call_id].state is State.DELIVERED
        assert worker.poll() is None


async def test_a_log_that_was_deleted_is_told_and_calls_of_before_are_looked_up(install: NewInstallation) -> None:
    async with install(1) as installation:
        known = recent(1)
        worker = installation.start_worker("kommo")
        await installation.produce_results([known])
        await installation.until_delivered([known])
        await stopped(worker)

        log = installation.topic("deliveries-kommo")
        admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([log])
        await gone(admin, log)
        await admin.create_topics([NewTopic(log, 1, 1, topic_configs={"cleanup.policy": "compact"})])
        await admin.close()
        worker = installation.start_worker("kommo")
        [lost] = await letters(installation, 1)
        assert (lost["reason"], lost["offset"]) == ("expired_results", 0)
        assert "the log of deliveries does not know their calls" in lost["explanation"]
        assert remedy_of(lost).startswith("cel2crm backfill --since 20") and remedy_of(lost).endswith(" --deliver")
        later = replace(known, version=known.version + 1), recent(2)
        await installation.produce_results(later)
        await installation.until_delivered(later)  # once each, though nobody remembers the first
        await stopped(worker)

        installation.start_worker("kommo")
        await installation.produce_results([recent(3)])
        await installation.until_delivered([*later, recent(3)])
        assert len(await letters(installation, 1)) == 1  # it is told once


async def test_a_topic_made_again_that_took_the_commit_of_the_one_before_is_told(install: NewInstallation) -> None:
    async with install(1) as installation:
        worker = installation.start_worker("kommo")
        await installation.produce_results([recent(1)])
        await installation.until_delivered([recent(1)])
        await stopped(worker)

        results = installation.topic("call-results")
        admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([results])
        await gone(admin, results)
        await admin.create_topics([NewTopic(results, 1, 1)])
        await admin.close()
        await installation.produce_results([recent(2)])
        partition = TopicPartition(results, 0)
        # As a client does that tries a commit again until the topic is back.
        await commit_by_hand(installation, partition, OffsetAndMetadata(1, commit_mark(0)))

        worker = installation.start_worker("kommo")
        [letter] = await letters(installation, 1)
        assert (letter["reason"], letter["offset"]) == ("expired_results", 0)
        assert "the topic was made again" in letter["explanation"]
        assert remedy_of(letter).endswith(" --deliver")
        await installation.produce_results([recent(3)])
        await installation.until_delivered([recent(1), recent(3)])
        await stopped(worker)
        installation.start_worker("kommo")
        await installation.produce_results([recent(4)])
        await installation.until_delivered([recent(1), recent(3), recent(4)])
        assert len(await letters(installation, 1)) == 1, "told once"
