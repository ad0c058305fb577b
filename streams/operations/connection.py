"""An operator's connection: topics, and the codec of what stands on them. The one seam of the commands' tests."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from schemas import Serializer, own_headers, written_as
from streams.crm.registry import kind_of, registered
from streams.http.service import schema_registry
from streams.kafka.topic_client import KafkaTopics, Outgoing, TopicRecord, Topics
from streams.settings import Settings
from streams.topics import (
    CALL_LEGS,
    CALL_RESULTS,
    COMPLETE_UNTIL,
    DEAD_LETTER_RESOLUTIONS,
    DEAD_LETTERS,
    DELIVERY_COMMANDS,
    PORTAL_STATES,
    Topic,
    deliveries,
)


def crm_names() -> tuple[str, ...]:
    """The registered CRMs whose logs `cel2crm topics apply` has made; a plugin that cannot be used is none of them."""
    return tuple(registered().kinds)


def check_crm(crm: str | None) -> None:
    """Raise UserError where there is no CRM of that name; None is all of them. One that cannot be used now is known."""
    if crm is not None and crm not in registered().unusable:
        kind_of(crm)


def schemas_of(settings: Settings) -> dict[str, str]:
    """Every topic that commands read or write, and the schema of its values."""
    topic = settings.kafka.topic
    ours = (
        CALL_RESULTS, CALL_LEGS, COMPLETE_UNTIL, DELIVERY_COMMANDS, PORTAL_STATES, DEAD_LETTERS,
        DEAD_LETTER_RESOLUTIONS,
    )  # fmt: skip
    return {topic(each): each.schema for each in (*ours, *map(deliveries, crm_names()))}


@dataclass(frozen=True, slots=True)
class Connection:
    """The topics of an installation, and the codec of their records."""

    settings: Settings
    topics: Topics
    serializer: Serializer
    """Reads every topic's records; writes those that `outgoing` registered."""
    _registered: set[str] = field(default_factory=set)

    def topic(self, name: str) -> str:
        """The full name of one of the product's topics."""
        return self.settings.kafka.topic(name)

    async def read(self, record: TopicRecord, schema: str) -> dict[str, Any]:
        """A record of ours, of that schema. The registry is asked only for what is not ours, or of a later release.

        Raises MalformedRecord; UserError: no registry to ask.
        """
        return await self.serializer.read(record.value, schema, written_as(record.headers))

    async def outgoing(
        self, topic: Topic, key: bytes, record: Mapping[str, Any], partition: int | None = None
    ) -> Outgoing:
        """A record for a topic. The topic's schema is registered before its first one, and no other is.

        Raises UserError: no registry, or it refuses the schema.
        """
        name = self.topic(topic)
        if name not in self._registered:
            await self.serializer.register(name, topic.schema)
            self._registered.add(name)
        value = self.serializer.encode(topic.schema, record)
        return Outgoing(name, key, value, partition, own_headers(topic.schema))


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """A connection that changes nothing by itself: nothing is registered, and what is read needs no registry.

    Raises UserError: no broker.
    """
    async with (
        schema_registry(settings.registry) as registry,
        KafkaTopics(settings.kafka) as topics,
    ):
        yield Connection(settings, topics, registry.reader(schemas_of(settings).values()))
