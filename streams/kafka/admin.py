"""Topics made, altered and described, and consumer groups described.

Each call is bounded in time and raises errors that a user can mend.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import InvalidReplicationFactorError, KafkaError, for_code

from streams.errors import UserError
from streams.kafka.client import unreachable
from streams.kafka.committed import Committed
from streams.kafka.login import client_options
from streams.kafka.reach import require_reach
from streams.settings import KafkaSettings

TOPIC_ALREADY_EXISTS = 36
UNKNOWN_TOPIC = 3
GROUP_ID_NOT_FOUND = 69
DYNAMIC_TOPIC_CONFIG = 1
"""Source of a setting that was given for this topic (not the broker's default)."""


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic as the broker has it."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    """Every setting in force."""
    own: Mapping[str, str]
    """The settings given for this topic."""


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group as its coordinator has it."""

    state: str
    """Stable, PreparingRebalance or CompletingRebalance; Empty: no member; Dead: there is no such group."""
    members: int
    holders: Mapping[TopicPartition, str]
    """The address of the member that holds a partition. A member that was killed holds its partitions until its
    session is over."""
    committed: Mapping[TopicPartition, int]
    """Committed offsets; partitions without one are left out."""


class KafkaAdmin:
    """Topics and groups of one cluster. Use in `async with`; calls raise UserError when no broker answers in time."""

    def __init__(self, kafka: KafkaSettings, *, timeout_seconds: float = 15.0) -> None:
        self._kafka = kafka
        self._timeout = timeout_seconds
        self._client: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> Self:
        await require_reach(self._kafka, seconds=self._timeout)
        client = AIOKafkaAdminClient(
            **client_options(self._kafka), request_timeout_ms=int(self._timeout * 1000), client_id="cel2crm-topics"
        )
        try:
            async with asyncio.timeout(self._timeout):
                await client.start()
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            await client.close()
            raise unreachable(self._kafka, error) from None
        self._client = client
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def topics(self, names: Sequence[str]) -> dict[str, ExistingTopic]:
        """The topics among `names` that exist."""
        # All topics, not those by name: aiokafka asks so that a broker with auto.create.topics.enable
        # makes the missing ones, with partitions of its own choice.
        wanted = set(names)
        found = {}
        for topic in await self._answer(self._started.describe_topics()):
            if topic["topic"] in wanted:
                if topic["error_code"]:
                    why = for_code(topic["error_code"]).__name__
                    raise self._refused(f"topic {topic['topic']} cannot be described", why)
                found[topic["topic"]] = topic["partitions"]
        configs = await self._configs(sorted(found))
        return {
            name: ExistingTopic(
                name=name,
                partitions=len(partitions),
                replication=len(partitions[0]["replicas"]),
                config={key: value for key, (value, _) in configs[name].items()},
                own={key: value for key, (value, source) in configs[name].items() if source == DYNAMIC_TOPIC_CONFIG},
            )
            for name, partitions in found.items()
        }

    async def create(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Make a topic; one that somebody made meanwhile is left as it is."""
        new = NewTopic(name, partitions, replication, topic_configs=dict(config))
        answer = await self._answer(self._started.create_topics([new]))
        for topic, code, *message in answer.topic_errors:
            if code not in (0, TOPIC_ALREADY_EXISTS):
                words = (message[0] if message else "") or for_code(code).__name__
                refused = self._refused(f"topic {topic} cannot be made", words)
                if code == InvalidReplicationFactorError.errno:
                    remedy = f"Set kafka.replication_factor, now {replication}, to the number of brokers at most."
                    raise UserError(refused.problem, remedy)
                raise refused

    async def delete(self, names: Sequence[str]) -> None:
        """Delete topics, with all that stands on them; those that are not there are left out."""
        present = sorted(await self.topics(names))
        if not present:
            return
        answer = await self._answer(self._started.delete_topics(present))
        for topic, code, *_ in answer.topic_error_codes:
            if code not in (0, UNKNOWN_TOPIC):
                raise self._refused(f"topic {topic} cannot be deleted", for_code(code).__name__)

    async def until_known(self, names: Sequence[str]) -> None:
        """Wait until the brokers know topics that were just made: the controller answers before they do."""
        try:
            async with asyncio.timeout(self._timeout):
                while set(names) - set(await self.topics(names)):  # noqa: ASYNC110 (the broker tells no one)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise self._refused(f"topics {', '.join(names)}", "made, but not known to the brokers") from None

    async def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set these settings of a topic; its other own ones stay."""
        present = await self.topics([name])
        # The request replaces all: what is not sent along falls back to the broker's default.
        merged = {**(present[name].own if name in present else {}), **config}
        resource = ConfigResource(ConfigResourceType.TOPIC, name, merged)
        for answer in await self._answer(self._started.alter_configs([resource])):
            for code, message, *_ in answer.resources:
                if code:
                    raise self._refused(f"topic {name} cannot be altered", message or for_code(code).__name__)

    async def group_offsets(self, group: str, topic: str) -> dict[int, Committed]:
        """What a consumer group has committed on a topic, by partition; partitions without an offset are left out."""
        found = await self._answer(self._started.list_consumer_group_offsets(group))
        return {
            each.partition: Committed(at.offset, at.metadata or "")
            for each, at in found.items()
            if each.topic == topic and at.offset >= 0
        }

    async def group(self, name: str) -> ConsumerGroup:
        """A consumer group: its members, what they hold, what it has committed."""
        (answer,) = await self._answer(self._started.describe_consumer_groups([name]))
        (group,) = answer.to_object()["groups"]
        if group["error_code"] not in (0, GROUP_ID_NOT_FOUND):
            error = for_code(group["error_code"])
            if error.retriable:  # its coordinator is moving to another broker
                raise unreachable(self._kafka, error())
            raise self._refused(f"group {name} cannot be described", error.__name__)
        offsets = await self._answer(self._started.list_consumer_group_offsets(name))
        holders = {
            partition: str(member["client_host"]).lstrip("/")
            for member in group["members"]
            for partition in _assigned_to(member["member_assignment"])
        }
        committed = {each: found.offset for each, found in offsets.items() if found.offset >= 0}
        return ConsumerGroup(group["state"] or "Dead", len(group["members"]), holders, committed)

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, tuple[str, int]]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs = {}
        for answer in await self._answer(self._started.describe_configs(resources)):
            for code, message, _, name, entries in answer.resources:
                if code:
                    raise self._refused(f"topic {name} cannot be described", message or for_code(code).__name__)
                configs[name] = {key: (value, source) for key, value, _, source, *_ in entries if value is not None}
        return configs

    @property
    def _started(self) -> AIOKafkaAdminClient:
        if self._client is None:
            raise RuntimeError("KafkaAdmin is used outside of its `async with`")
        return self._client

    async def _answer(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await request
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None

    def _refused(self, what: str, why: object) -> UserError:
        return UserError(f"{what}: {why}", "The broker's answer says what it wants; kafka.* are the settings.")


def _assigned_to(assignment: bytes) -> list[TopicPartition]:
    """The partitions in a member's assignment; none while the group is being shared out anew."""
    if not assignment:
        return []
    decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    return [TopicPartition(topic, partition) for topic, partitions in decoded.assignment for partition in partitions]
