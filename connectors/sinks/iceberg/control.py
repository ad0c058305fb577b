"""The place from which a connector reads, on the control topic, what its own tasks have written.

The task that commits reads the others' files from there as a consumer group, `connect-<connector>-coord`. Where that
group has no place yet, the sink begins at the end of the topic: files whose commit failed before there was one would be
passed over, and their records are confirmed already. So the group has its place before the connector is made.
"""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.client import stop_client, unreachable
from streams.kafka.login import consumer_options
from streams.settings import Settings
from streams.topics import ICEBERG_CONTROL

_SECONDS = 30.0


def commit_group(connector: str) -> str:
    """The consumer group of the task that commits: Iceberg's name, not ours."""
    return f"connect-{connector}-coord"


async def place_groups(settings: Settings, connectors: Iterable[str]) -> None:
    """Give the group of each of these connectors a place on the control topic, its end now, where it has none.

    For connectors that are not there yet. Raises UserError: no broker, or no right to the group.
    """
    for connector in connectors:
        try:
            async with asyncio.timeout(_SECONDS):
                await _place(settings, commit_group(connector))
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(settings.kafka, error) from None


async def _place(settings: Settings, group: str) -> None:
    consumer = AIOKafkaConsumer(
        **consumer_options(settings.kafka), client_id="cel2crm-operator", group_id=group, enable_auto_commit=False
    )
    try:
        await consumer.start()
        partition = TopicPartition(settings.kafka.topic(ICEBERG_CONTROL), 0)
        consumer.assign([partition])
        if await consumer.committed(partition) is None:
            ends = await consumer.end_offsets([partition])
            await consumer.commit(ends)
    finally:
        await stop_client(consumer, 5.0)
