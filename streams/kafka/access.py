"""What a part may do on the brokers, compared with what it needs before it starts: each missing ACL is named.

The brokers are asked for the rights of whoever is logged in (KIP-430). Where there is no authorizer, all are there.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from streams.errors import UserError
from streams.kafka.client import unreachable
from streams.kafka.partition_counts import changed
from streams.kafka.reach import close, connected, reached
from streams.kafka.requests import CreateAclsRequest, DescribeGroupsRequest, MetadataRequest
from streams.settings import KafkaSettings

Resource = Literal["topic", "group", "transactional-id"]

OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
"""Kafka's numbers of them."""

_RESOURCES: dict[str, int] = {"topic": 2, "group": 3, "transactional-id": 5}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_NOT_TOLD = -(2**31)
_GROUP, _TRANSACTION = 0, 1
_START_CHECK = "start-check"
"""End of the transactional id that is tried: no log has it, so nobody is fenced."""


@dataclass(frozen=True, slots=True)
class Acl:
    """What one part is allowed on one resource; `prefixed`: on all whose names begin so."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False

    def __str__(self) -> str:
        return f"{self.resource} {self.name}{'*' if self.prefixed else ''}"


async def require_access(
    kafka: KafkaSettings,
    names: Collection[str],
    acls: Sequence[Acl] = (),
    *,
    partitions: Mapping[str, int] = MappingProxyType({}),
    seconds: float = 15.0,
) -> None:
    """Raise UserError where a topic of `names` (full ones) is missing, or an ACL of `acls`; all that lack are named.

    And where a topic has another number of partitions than `partitions` says, by its full name. Also raises what
    reach.reached raises: Unreachable, LoginRefused.
    """
    try:
        async with asyncio.timeout(seconds), reached(kafka) as broker:
            topics = [acl for acl in acls if acl.resource == "topic" and not acl.prefixed]
            missing, lacking, counts = await _topics(broker, names, topics)
            if missing and not lacking:
                raise UserError(
                    f"no such topic on {kafka.bootstrap_servers}: {', '.join(missing)}",
                    "Make the topics with `cel2crm topics apply`; kafka.topic_prefix must be the same.",
                )
            if not lacking and (error := changed(partitions, counts)) is not None:
                raise error
            for acl in acls:
                if acl.resource == "group" and not acl.prefixed:
                    lacking += await _group(broker, kafka, acl)
                elif acl.resource == "transactional-id":
                    lacking += await _transactional_id(broker, kafka, acl)
    except (KafkaError, OSError, TimeoutError) as error:
        raise unreachable(kafka, error) from None
    if lacking:
        raise UserError(
            f"the brokers at {kafka.bootstrap_servers} have no ACL for {_who(kafka)} to:\n"
            + "\n".join(f"  {line}" for line in lacking),
            "`cel2crm topics acls` prints what each part needs; --apply makes it, with the login of an administrator.",
        )


async def create_acls(kafka: KafkaSettings, acls: Mapping[str, Sequence[Acl]]) -> None:
    """Make the ACLs of each principal (`User:name`), from any host; those that are there stay.

    Raises UserError: the brokers refuse, or have no authorizer; and what reach.reached raises.
    """
    creations = [
        (_RESOURCES[acl.resource], acl.name, _PREFIXED if acl.prefixed else _LITERAL, principal, "*", operation, _ALLOW)
        for principal, each in acls.items()
        for acl in each
        for operation in (OPERATIONS[name] for name in acl.operations)
    ]
    try:
        async with reached(kafka) as broker:
            answer = await broker.send(CreateAclsRequest(creations))
    except (KafkaError, OSError, TimeoutError) as error:
        raise unreachable(kafka, error) from None
    for code, message in answer.results:
        if code:
            raise UserError(
                f"the brokers at {kafka.bootstrap_servers} make no ACLs for {_who(kafka)}: "
                f"{message or for_code(code).__name__}",
                "Log in as one who may Alter the cluster, and see that the brokers have an authorizer.",
            )


async def _topics(
    broker: AIOKafkaConnection, names: Collection[str], acls: Sequence[Acl]
) -> tuple[list[str], list[str], dict[str, int]]:
    """Those of `names` that are missing, what is not allowed, and how many partitions each topic has."""
    answer = await broker.send(MetadataRequest(sorted({*names, *(acl.name for acl in acls)})))
    wanted = {acl.name: acl for acl in acls}
    missing, lacking, counts = list[str](), list[str](), dict[str, int]()
    for code, topic, _, partitions, allowed in answer.topics:
        acl = wanted.get(topic) or Acl("topic", topic, ("Describe",))
        if code == TopicAuthorizationFailedError.errno:
            lacking += _all_of(acl)
        elif code == 0:
            lacking += _not_among(acl, allowed)
            counts[topic] = len(partitions)
        elif topic in names:
            missing.append(topic)
    return missing, lacking, counts


async def _group(broker: AIOKafkaConnection, kafka: KafkaSettings, acl: Acl) -> list[str]:
    async with _coordinator(broker, kafka, acl.name, _GROUP) as coordinator:
        if isinstance(coordinator, int):
            return _all_of(acl) if coordinator == GroupAuthorizationFailedError.errno else []
        ((code, *_, allowed),) = (await coordinator.send(DescribeGroupsRequest(acl.name))).groups
        if code == GroupAuthorizationFailedError.errno:
            return _all_of(acl)
        return _not_among(acl, allowed) if code == 0 else []


async def _transactional_id(broker: AIOKafkaConnection, kafka: KafkaSettings, acl: Acl) -> list[str]:
    """Tried with an id that no log has, where the ACL is for a prefix; an id by itself is only looked up."""
    name = acl.name + _START_CHECK if acl.prefixed else acl.name
    async with _coordinator(broker, kafka, name, _TRANSACTION) as coordinator:
        if isinstance(coordinator, int):
            return _all_of(acl) if coordinator == TransactionalIdAuthorizationFailed.errno else []
        if not acl.prefixed:
            return []
        answer = await coordinator.send(InitProducerIdRequest(name, 10_000))
        return _all_of(acl) if answer.error_code == TransactionalIdAuthorizationFailed.errno else []


@asynccontextmanager
async def _coordinator(
    broker: AIOKafkaConnection, kafka: KafkaSettings, key: str, kind: int
) -> AsyncIterator[AIOKafkaConnection | int]:
    """The broker that coordinates a group or transactional id; the error code where none is told."""
    found = await broker.send(FindCoordinatorRequest(key, kind))
    if found.error_code:
        yield found.error_code  # where it is not there yet, the start itself waits for it
    elif (found.host, found.port) == (broker.host, broker.port):
        yield broker
    else:
        coordinator = await connected(f"{found.host}:{found.port}", kafka, 10.0)
        try:
            yield coordinator
        finally:
            await close(coordinator)


def _not_among(acl: Acl, allowed: int) -> list[str]:
    if allowed == _NOT_TOLD:
        return []
    return [f"{each} {acl}" for each in acl.operations if not allowed >> OPERATIONS[each] & 1]


def _all_of(acl: Acl) -> list[str]:
    return [f"{each} {acl}" for each in acl.operations]


def _who(kafka: KafkaSettings) -> str:
    if kafka.with_sasl:
        return f"user {kafka.sasl_username}" if kafka.sasl_username else "whom this token names"
    return "the certificate of kafka.ssl_certificate_file" if kafka.ssl_certificate_file else "anonymous clients"
