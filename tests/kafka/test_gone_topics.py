"""How clients of aiokafka bear a topic that is gone: they rest between questions, and say it once."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import PartitionMetadata, TopicPartition

from streams.kafka import gone_topics
from streams.kafka.gone_topics import LONGEST_REST_SECONDS, Rest, ToldOnce, TopicGone

CEL = frozenset({"cel"})


class Clock:
    """Seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Client:
    """As much of a client as is looked at."""

    cluster: ClusterMetadata


def test_a_client_rests_longer_and_longer_while_a_topic_is_gone_and_not_when_it_is_there() -> None:
    clock = Clock()
    rest = Rest(clock)
    assert rest.left(CEL) == 0
    rests = []
    for _ in range(6):
        rest.answered(CEL, whole=False)
        rests.append(rest.left(CEL))
        clock.now += rests[-1]
        assert rest.left(CEL) == 0
    assert rests == pytest.approx([0.1, 0.2, 0.4, LONGEST_REST_SECONDS, LONGEST_REST_SECONDS, LONGEST_REST_SECONDS])
    rest.answered(CEL, whole=True)
    assert rest.left(CEL) == 0
    rest.answered(CEL, whole=False)
    assert rest.left(CEL) == pytest.approx(0.1)


def test_other_topics_are_asked_about_at_once() -> None:
    rest = Rest(Clock())
    rest.answered(CEL, whole=False)
    rest.answered(CEL, whole=False)
    assert rest.left(CEL | {"dead-letters"}) == 0


@pytest.mark.parametrize("leader", [None, -1])
async def test_a_topic_without_leaders_is_not_asked_about_without_rest(
    leader: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ClusterMetadata()

    client: Any = Client(cluster)
    rested: list[float] = []

    async def answer(_client: object, _cluster: object, _topics: object) -> bool:
        return True

    async def sleep(seconds: float) -> None:
        rested.append(seconds)

    monkeypatch.setattr(gone_topics, "UPSTREAM_ASK", answer)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    if leader is not None:
        lead_by(cluster, leader)
    for _ in range(3):
        assert await gone_topics.ask(client, cluster, set(CEL))
    assert len(rested) == 2
    lead_by(cluster, 1)
    for _ in range(3):
        assert await gone_topics.ask(client, cluster, set(CEL))
    assert len(rested) == 3  # before the answer that told it
    await gone_topics.ask(client, ClusterMetadata(), set(CEL))  # somebody's own question
    assert len(rested) == 3


def lead_by(cluster: ClusterMetadata, leader: int) -> None:
    """Have the cluster's answers name this leader; -1: none."""
    cluster._partitions = {"cel": {0: PartitionMetadata("cel", 0, leader, [1], [1], 0)}}


def test_that_a_topic_is_gone_is_told_once_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    once, log = ToldOnce(), logging.getLogger("tests.gone_topics")
    log.addFilter(once)
    words = "Topic %s not found in cluster metadata"
    for topic in ("cel", "cel", "call-results", "cel"):
        log.error(words, topic)
    log.error("Topic %s is not authorized for this client", "cel")
    once.there(["cel"])
    log.error(words, "cel")
    log.error(words, "call-results")
    log.removeFilter(once)
    told = [record.getMessage().split()[1] for record in caplog.records]
    assert told == ["cel", "call-results", "cel", "cel"]


async def test_a_commit_does_not_wait_for_a_topic_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def refused(_coordinator: object, _assignment: object, _offsets: object) -> None:
        tries.append(1)
        raise UnknownTopicOrPartitionError

    async def known() -> None: ...

    monkeypatch.setattr(gone_topics, "UPSTREAM_COMMIT", refused)
    monkeypatch.setattr(GroupCoordinator, "_do_commit_offsets", gone_topics.commit)
    coordinator: Any = object.__new__(GroupCoordinator)
    coordinator.ensure_coordinator_known, coordinator._commit_lock = known, asyncio.Lock()
    coordinator._cluster = cluster = ClusterMetadata()
    lead_by(cluster, 1)
    for _ in range(2):
        with pytest.raises(TopicGone, match="cel") as raised:
            await coordinator.commit_offsets(None, {TopicPartition("cel", 0): 7})
        assert isinstance(raised.value, KafkaError) and not raised.value.retriable
        cluster._partitions.clear()
    assert len(tries) == 1, "where it is known to be gone, the broker is not asked"
