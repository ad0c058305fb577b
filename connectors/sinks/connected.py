"""A sink as commands look at it: its connectors in Connect, and how many records each has still to take."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from connectors.apply import connect_client
from connectors.client import ConnectClient
from connectors.sinks.failures import SINK_KNOWN
from connectors.sinks.kinds import kind_of
from connectors.sinks.shared import connector_of
from connectors.source import ConnectorConfig
from schemas import written_as
from streams.errors import SettingsError
from streams.kafka.topic_client import KafkaTopics, TopicRecord
from streams.settings import Settings, SinkSettings, secret
from streams.settings.sinks import SinkPart

COUNTED = 1000
"""Up to so many offsets are read, for markers of transactions have offsets too, which no one ever takes."""


@dataclass(frozen=True, slots=True)
class SinkConnector:
    """The connector that fills one table."""

    part: SinkPart
    name: str
    config: ConnectorConfig
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink, and the servers to ask about it."""

    settings: SinkSettings
    connectors: tuple[SinkConnector, ...]
    connect: ConnectClient
    topics: KafkaTopics


def connectors_of(settings: Settings, sink: SinkSettings) -> tuple[SinkConnector, ...]:
    """The connectors of a sink. Raises SettingsError: a secret that is no reference, a property that is ours."""
    kind = kind_of(sink)
    return tuple(
        SinkConnector(part, connector_of(settings, sink, part), config, tuple(kind.topics(settings, part)))
        for part, config in kind.configs(settings, sink).items()
    )


def sink_connect_client(settings: Settings, *, timeout_seconds: float = 60.0) -> ConnectClient:
    """The client of the settings' Connect, which keeps the sinks' passwords out of its messages."""
    passwords = [word for sink in settings.sinks if (word := _password(sink))]
    return connect_client(settings, timeout_seconds=timeout_seconds, secrets=passwords, known_failures=SINK_KNOWN)


@contextlib.asynccontextmanager
async def open_sink(settings: Settings, sink: SinkSettings) -> AsyncIterator[Sink]:
    """Connections to Connect and Kafka. Raises UserError: no broker, settings that cannot be used."""
    connectors = connectors_of(settings, sink)
    async with sink_connect_client(settings) as connect, KafkaTopics(settings.kafka) as topics:
        yield Sink(sink, connectors, connect, topics)


async def records_behind(sink: Sink, connector: SinkConnector) -> int:
    """How many records of its topics the connector has not confirmed; Connect stores that every now and then.

    Exact up to COUNTED a partition. Raises UserError: no broker, no Connect.
    """
    taken = await sink.connect.sink_offsets(connector.name) or {}
    return sum([await _behind(sink.topics, topic, taken, connector.part) for topic in connector.topics])


async def _behind(topics: KafkaTopics, topic: str, taken: Mapping[tuple[str, int], int], part: SinkPart) -> int:
    ends, begins = await topics.ends(topic), await topics.begins(topic)
    at = {number: max(begins[number], taken.get((topic, number), 0)) for number in ends}
    many = {number: gap for number in ends if (gap := max(0, ends[number] - at[number])) > COUNTED}
    few = [number for number in ends if at[number] < ends[number] and number not in many]
    if not few:
        return sum(many.values())
    read = topics.read(topic, few, start={number: at[number] for number in few})
    return sum(many.values()) + sum([1 async for record in read if _is_taken(record, part)])


def _is_taken(record: TopicRecord, part: SinkPart) -> bool:
    """Whether the sink writes such a record: what its configuration leaves out it never confirms."""
    return part == "rows" or (record.value is not None and written_as(record.headers) is not None)


def _password(sink: SinkSettings) -> str:
    """Its password where this command knows one; whoever needs it says what is wrong with the setting."""
    with contextlib.suppress(SettingsError):
        return secret(sink.password, sink.password_file, "password")
    return ""
