"""What a worker needs of the brokers before it starts: one that answers, which is waited for, its topics and rights."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

import structlog

from streams.kafka.access import Acl, require_access
from streams.kafka.client import Unreachable
from streams.kafka.partition_counts import chosen_counts
from streams.settings import KafkaSettings

_RETRY_SECONDS = 2.0
_TELL_SECONDS = 60.0
"""Between two lines about a broker that is waited for."""
_CANCEL_SECONDS = 5.0

_log = structlog.get_logger("worker")


async def topics_are_there(
    kafka: KafkaSettings, names: Iterable[str], stop: asyncio.Event, acls: Sequence[Acl] = ()
) -> bool:
    """Wait for a broker, and see that the topics and rights are there; False: the end was asked for first.

    `names`: short ones of topics; `acls`: what the worker must be allowed.

    A broker that is away is told once a minute and waited for as long as it takes, for a supervisor that starts the
    worker again and again may give up before the broker is back. Raises UserError where TLS or login fail, where a
    topic is missing (topics are never made by a worker) or has other partitions than were chosen, and where an ACL is.
    """
    names = list(names)
    wanted, counts = [kafka.topic(name) for name in names], chosen_counts(kafka, names)
    told, now = 0.0, time.monotonic
    while not stop.is_set():
        asking = asyncio.ensure_future(require_access(kafka, wanted, acls, partitions=counts))
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
