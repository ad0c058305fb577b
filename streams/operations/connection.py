"""An operator's connection: topics, and the codec of what stands on them. The one seam of the commands' tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from schemas import SchemaRegistry, Serializer
from streams.kafka.topic_client import KafkaTopics, Topics
from streams.settings import Settings
from streams.topics import CALL_RESULTS, DEAD_LETTER_RESOLUTIONS, DEAD_LETTERS, DELIVERY_COMMANDS, deliveries

CRMS = ("bitrix24", "kommo", "webhook")


def schemas_of(settings: Settings) -> dict[str, str]:
    """Every topic that commands read or write, and the schema of its values."""
    topic = settings.kafka.topic
    ours = (CALL_RESULTS, DELIVERY_COMMANDS, DEAD_LETTERS, DEAD_LETTER_RESOLUTIONS, *map(deliveries, CRMS))
    return {topic(each): each.schema for each in ours}


@dataclass(frozen=True, slots=True)
class Connection:
    """What a command works with."""

    settings: Settings
    topics: Topics
    serializer: Serializer

    def topic(self, name: str) -> str:
        """The full name of one of the product's topics."""
        return self.settings.kafka.topic(name)


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """Raises UserError: no broker, no registry."""
    async with (
        SchemaRegistry(settings.registry.url) as registry,
        KafkaTopics(settings.kafka.bootstrap_servers) as topics,
    ):
        yield Connection(settings, topics, await registry.open(schemas_of(settings)))
