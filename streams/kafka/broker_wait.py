"""What a worker needs of the brokers before it starts: one that answers, which is waited for, and its topics."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.errors import UserError
from streams.kafka.client import Unreachable, stop_client, unreachable
from streams.kafka.login import client_options
from streams.settings import KafkaSettings

_RETRY_SECONDS = 2.0
_TELL_SECONDS = 60.0
"""Between two lines about a broker that is waited for."""
_CANCEL_SECONDS = 5.0

_log = structlog.get_logger("worker")


async def topics_are_there(kafka: KafkaSettings, names: Iterable[str], stop: asyncio.Event) -> bool:
    """Wait for a broker, and see that the topics are there; False: the end was asked for first.

    A broker that is away is told once a minute and waited for as long as it takes, for a supervisor that starts the
    worker again and again may give up before the broker is back. Raises UserError where a topic is missing (topics are
    never made by a worker).
    """
    told, now = 0.0, time.monotonic
    while not stop.is_set():
        asking = asyncio.ensure_future(require_topics(kafka, names))
        asked = asyncio.ensure_future(stop.wait())
        await asyncio.wait([asking, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not asking.done():
            asking.cancel()
            await asyncio.wait([asking], timeout=_CANCEL_SECONDS)
            return False
        error = asking.exception()
        if not isinstance(error, Unreachable):
            asking.result()
            return True
        if not told or now() - told >= _TELL_SECONDS:
            told = now()
            _log.warning("waiting for a broker", problem=error.problem, remedy=error.remedy)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS):
                await stop.wait()
    return False


async def require_topics(kafka: KafkaSettings, names: Iterable[str]) -> None:
    """Raise Unreachable where no broker answers, and UserError where a topic is missing."""
    consumer = AIOKafkaConsumer(**client_options(kafka), request_timeout_ms=10_000)
    chatter = logging.getLogger("aiokafka")
    level = chatter.level
    chatter.setLevel(logging.CRITICAL)  # what it says of a broker that is away, the UserError says better
    try:
        async with asyncio.timeout(15):
            await consumer.start()
            existing = await consumer.topics()
    except (KafkaError, OSError, TimeoutError) as error:
        raise unreachable(kafka, error) from None
    finally:
        await stop_client(consumer, 5.0)
        chatter.setLevel(level)
    wanted = [kafka.topic(name) for name in names]
    if missing := [name for name in wanted if name not in existing]:
        raise UserError(
            f"no such topic on {kafka.bootstrap_servers}: {', '.join(missing)}",
            "Make the topics with `cel2crm topics apply`; kafka.topic_prefix must be the same.",
        )
