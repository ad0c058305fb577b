"""The brokers' part of an erasure: the topics' settings, by which records go, and whether aggregate workers run."""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.topics import declared_topics
from streams.clock import UtcMillis
from streams.erasure.remains import Gone, gone_by
from streams.kafka.admin import KafkaAdmin
from streams.operations.connection import Connection
from streams.replay.control import legs_topic, results_topic
from streams.topics import AGGREGATE_CHECKPOINTS, CALL_LEGS, CALL_RESULTS, CEL, DEAD_LETTERS, REPLAYS

SOURCES = (CEL, CALL_RESULTS, CALL_LEGS, DEAD_LETTERS, AGGREGATE_CHECKPOINTS)
"""Topics of which calls are made, or made anew: while they hold a number, it must not come back from there."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the brokers say."""

    configs: Mapping[str, Mapping[str, str]]
    """By full name of each topic of the product that is there, every setting in force."""
    aggregate_workers: int
    """Members of their group."""

    def gone(self, newest_ms: Mapping[str, UtcMillis], now_ms: UtcMillis) -> dict[str, Gone]:
        """When these topics no longer hold what was written up to then."""
        return {
            topic: gone_by(self.configs[topic], newest, now_ms)
            for topic, newest in newest_ms.items()
            if topic in self.configs
        }


async def look_at(connection: Connection) -> Cluster:
    """Ask the brokers. Raises UserError: no broker. The one seam of the command's tests beside the topics."""
    settings = connection.settings
    names = [topic.name for topic in declared_topics(settings)]
    async for record in connection.topics.read(connection.topic(REPLAYS)):
        name = (record.key or b"").decode("utf-8", "replace")
        names += map(connection.topic, (results_topic(name), legs_topic(name)))
    async with KafkaAdmin(settings.kafka) as admin:
        topics = await admin.topics(names)
        group = await admin.group(f"{settings.kafka.topic_prefix}.aggregate")
    return Cluster({name: each.config for name, each in topics.items()}, group.members)
