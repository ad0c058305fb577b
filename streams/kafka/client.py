"""Facts and acts that every client of aiokafka here shares."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from streams.errors import UserError
from streams.settings import KafkaSettings

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Equal to the topics' max.message.bytes (connectors/topics.yaml)."""


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer, timeout_seconds: float) -> None:
    """Stop a client of aiokafka, whose own `stop` hangs while brokers are down (aiokafka issue 1101)."""
    try:
        async with asyncio.timeout(timeout_seconds):
            await client.stop()
    except (KafkaError, TimeoutError):
        pass  # it is given up either way


_NOT_ALLOWED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    ClusterAuthorizationFailedError,
)


class Unreachable(UserError):
    """No broker answers: one may later."""


def unreachable(kafka: KafkaSettings, error: BaseException) -> UserError:
    """The error for a person when no broker answers, or answers as is no use.

    Unreachable, unless the broker's answer says that it stays so.
    """
    if isinstance(error, _NOT_ALLOWED):
        return UserError(
            f"the brokers at {kafka.bootstrap_servers} have no ACL for what is asked: {error}",
            "`cel2crm topics acls` prints what each part needs; --apply makes it, with the login of an administrator.",
        )
    kind = UserError if isinstance(error, BrokerResponseError) and not error.retriable else Unreachable
    return kind(
        f"no Kafka broker at {kafka.bootstrap_servers} ({str(error) or type(error).__name__})",
        "Start it, or set kafka.bootstrap_servers to where it listens.",
    )
