"""A topic that is gone under aiokafka's clients: asked about at leisure, told once, and no commit waits for it.

While a topic is gone, or a partition has no leader, the fetcher of a consumer and the sender of a producer ask for
metadata as fast as the broker answers, thousands of times a second, and each answer is logged. A commit is tried again
until the topic is back: a rebalance waits for it, and the old topic's offset would stand on the new one.
tests/kafka/test_faust_overrides.py holds hashes of the methods that are replaced.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

UPSTREAM_ASK = AIOKafkaClient._metadata_update
UPSTREAM_COMMIT = GroupCoordinator._do_commit_offsets

FIRST_REST_SECONDS = 0.1
LONGEST_REST_SECONDS = 0.5

_NOT_FOUND = "Topic %s not found in cluster metadata"


class TopicGone(KafkaError):  # type: ignore[misc]  # aiokafka is untyped
    """A topic whose offset was to be committed is gone."""


class Rest:
    """How long a client waits before it asks for the metadata of the same topics again: not at all where it got all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._topics: frozenset[str] = frozenset()
        self._answered_at = 0.0
        self._seconds = 0.0

    def left(self, topics: frozenset[str]) -> float:
        """Seconds from now."""
        if topics != self._topics:
            return 0.0
        return max(0.0, self._answered_at + self._seconds - self._clock())

    def answered(self, topics: frozenset[str], *, whole: bool) -> None:
        """Note an answer. `whole`: it has a leader for every partition of every topic."""
        if whole:
            self._seconds = 0.0
        elif topics == self._topics and self._seconds:
            self._seconds = min(LONGEST_REST_SECONDS, 2 * self._seconds)
        else:
            self._seconds = FIRST_REST_SECONDS
        self._topics, self._answered_at = topics, self._clock()


class ToldOnce(logging.Filter):
    """Lets through that a topic was not found, once until it is there again."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        if record.msg != _NOT_FOUND or not isinstance(record.args, tuple):
            return True
        topic = str(record.args[0])
        is_first = topic not in self._told
        self._told.add(topic)
        return is_first

    def there(self, topics: Collection[str]) -> None:
        """These are there: where one goes away again, that is told."""
        self._told.difference_update(topics)


_rests: "WeakKeyDictionary[AIOKafkaClient, Rest]" = WeakKeyDictionary()
_told_once = ToldOnce()


async def ask(client: AIOKafkaClient, cluster: ClusterMetadata, topics: Collection[str]) -> Any:
    """In the place of AIOKafkaClient._metadata_update: whether there was an answer."""
    if cluster is not client.cluster:  # one question of somebody who waits for it
        return await UPSTREAM_ASK(client, cluster, topics)
    rest = _rests.setdefault(client, Rest())
    if seconds := rest.left(frozenset(topics)):
        await asyncio.sleep(seconds)
    asked = frozenset(topics)  # some may have come while it rested
    is_answered = await UPSTREAM_ASK(client, cluster, topics)
    if is_answered:
        _told_once.there([topic for topic in asked if cluster.partitions_for_topic(topic)])
        rest.answered(asked, whole=all(_has_leaders(cluster, topic) for topic in asked))
    return is_answered


async def commit(coordinator: GroupCoordinator, assignment: Any, offsets: Mapping[TopicPartition, Any]) -> None:
    """In the place of GroupCoordinator._do_commit_offsets. Raises TopicGone, which is not tried again."""
    topics = {each.topic for each in offsets}
    if gone := [topic for topic in topics if not coordinator._cluster.partitions_for_topic(topic)]:
        raise TopicGone(", ".join(gone))
    try:
        await UPSTREAM_COMMIT(coordinator, assignment, offsets)
    except UnknownTopicOrPartitionError:
        raise TopicGone(f"one of {', '.join(topics)}") from None


def bear_gone_topics() -> None:
    """Have aiokafka's clients in this process do so."""
    AIOKafkaClient._metadata_update = ask
    GroupCoordinator._do_commit_offsets = commit
    logging.getLogger("aiokafka.cluster").addFilter(_told_once)


def _has_leaders(cluster: ClusterMetadata, topic: str) -> bool:
    partitions = cluster.partitions_for_topic(topic)
    return bool(partitions) and cluster.available_partitions_for_topic(topic) == partitions
