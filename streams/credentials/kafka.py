"""The store of authorisations on Kafka: a compacted topic of one partition, followed by every worker.

Compare and swap: whoever wants to change something fences the topic's one transactional id, reads to the end, decides,
and writes in a transaction, which fails if anybody has fenced it since.
"""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple, Self

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.credentials.record import Credential
from streams.credentials.sealing import Sealer, Unreadable
from streams.credentials.store import Decide, opened, sealed
from streams.kafka.client import stop_client
from streams.kafka.fenced_log import Fenced, FencedLog
from streams.kafka.login import consumer_options
from streams.settings import KafkaSettings

TIMEOUT_SECONDS = 15.0
_QUIET_MS = 10_000
"""A question for changes is answered at the first one, or after so long."""
_ANYTHING = object()
_TRIES = 20

_log = structlog.get_logger("tokens")


class Unsettled(KafkaError):  # type: ignore[misc]
    """A change may or may not have been stored."""


class _Refused(Exception):
    """The brokers gave a transaction's end an error that does not tell how it ended (seen: UNKNOWN_SERVER_ERROR while
    another process fences the log). The next fence ends it one way or the other, and a reading after that tells which.
    """


class _Doubt(NamedTuple):
    """A change whose transaction was refused at its end."""

    after: Credential
    offset: int | None
    """Where it stands if it was committed; None: its commit was never asked for, so it was not."""


class KafkaCredentials:
    """A CredentialStore. `start` before anything else, `stop` at the end."""

    def __init__(self, kafka: KafkaSettings, topic: str, sealer: Sealer) -> None:
        self._kafka = kafka
        self._topic = topic
        self._sealer = sealer
        self._known: dict[str, Credential | None] = {}
        self._lock = asyncio.Lock()
        self._follower: asyncio.Task[None] | None = None
        self.on_change: Callable[[str], None] = lambda portal: None
        """Called with the portal whose authorisation changed, by whomever."""

    async def start(self, *, follow: bool = True) -> Self:
        """Read what is stored; then `follow` what others change. Raises KafkaError or TimeoutError."""
        for portal, value in (await self._log().read()).items():
            self._take(portal, value)
        if follow:
            self._follower = asyncio.create_task(self._follow())
        return self

    async def stop(self) -> None:
        """Follow no longer."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])

    def portals(self) -> list[str]:
        """The names for which something is stored."""
        return sorted(self._known)

    def get(self, key: str) -> Credential | None:
        """See CredentialStore."""
        if key not in self._known:
            return None
        known = self._known[key]
        if known is None:
            raise Unreadable
        return known

    async def change(self, key: str, decide: Decide) -> Credential | None:
        """See CredentialStore."""
        async with self._lock:
            doubt: _Doubt | None = None
            for attempt in range(_TRIES):
                try:
                    done = await self._swap(key, decide, doubt)
                except Fenced:
                    doubt = None  # it was settled before the log was fenced again
                else:
                    if not isinstance(done, _Doubt):
                        return done
                    doubt = done
                await asyncio.sleep(random.random() * min(2.0, 0.1 * 2**attempt))
            raise TimeoutError(f"{_TRIES} changes in a row were overtaken by others")

    async def _swap(self, key: str, decide: Decide, doubt: _Doubt | None) -> Credential | _Doubt | None:
        """One try. `doubt`: the try before, of which this one finds out first whether it was stored."""
        log, name = self._log(), key.encode()
        try:
            await log.fence()
            values: dict[int, bytes | None] = {}
            await log.scan(lambda record: values.update({record.offset: record.value} if record.key == name else {}))
            if doubt is not None and doubt.offset in values:
                after = doubt.after
            else:
                before = self._take(name, values[max(values)] if values else None)
                decided = decide(before)
                if decided is None:
                    return before
                after = decided
                try:
                    if not await log.write([(name, sealed(after, self._sealer))]):
                        raise Unsettled("the transaction was aborted")
                except _Refused:
                    return _Doubt(after, log.last_offset)
        finally:
            await log.close()
        self._accept(key, after)
        return after

    def _log(self) -> FencedLog:
        return FencedLog(
            self._kafka, self._topic, 0, self._topic, timeout_seconds=TIMEOUT_SECONDS, unsettled=_unsettled
        )

    def _take(self, key: bytes, value: bytes | None) -> Credential | None:
        """Note what is stored; None where there is nothing, or nothing that can be read."""
        portal = key.decode(errors="replace")
        if value is None:
            return None
        try:
            credential = opened(portal, value, self._sealer)
        except Unreadable:
            if self._known.get(portal, _ANYTHING) is not None:
                _log.error("stored tokens cannot be decrypted: credentials.key is another key", portal=portal)
                self._known[portal] = None
                self.on_change(portal)
            return None
        self._accept(portal, credential)
        return credential

    def _accept(self, key: str, credential: Credential) -> None:
        known = self._known.get(key)
        if known is None or credential.revision > known.revision:
            self._known[key] = credential
            self.on_change(key)

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_on()
            except (KafkaError, TimeoutError, OSError) as error:
                _log.warning("changes of tokens are not seen at the moment", error=repr(error))
            await asyncio.sleep(1.0)

    async def _follow_on(self) -> None:
        partition = TopicPartition(self._topic, 0)
        consumer = AIOKafkaConsumer(
            **consumer_options(self._kafka),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_QUIET_MS,
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await consumer.start()
                consumer.assign([partition])
                await consumer.seek_to_beginning(partition)
                end = (await consumer.end_offsets([partition]))[partition]
            last: dict[bytes, bytes | None] = {}
            while True:
                for batch in (await consumer.getmany(timeout_ms=60_000)).values():
                    last |= {each.key: each.value for each in batch}
                if await consumer.position(partition) >= end:  # history first: of each portal only the last counts
                    for key, value in last.items():
                        self._take(key, value)
                    last.clear()
        finally:
            await stop_client(consumer, 5.0)


def _unsettled(what: str, error: BaseException) -> None:
    if isinstance(error, TimeoutError):
        raise Unsettled(what) from error
    raise _Refused from error
