"""Records on their way to the topics: sent without waiting for each, and every answer looked at."""

import asyncio
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.kafka.client import MAX_RECORD_BYTES, stop_client
from streams.kafka.hard_exit import hard_exit
from streams.kafka.login import client_options
from streams.kafka.topic_client import KeyPartitioner
from streams.settings import KafkaSettings

Headers = Sequence[tuple[str, bytes]]
Message = tuple[str, bytes | None, bytes | None, Headers]
"""Topic, key, value and headers of a record to send."""

_IN_FLIGHT = 20_000
"""Records that may await their answer at once; more wait to be sent."""


class IdempotentProducer:
    """An idempotent producer (acks=all). A record that the brokers do not take ends the process hard: what it came from
    must not be committed."""

    def __init__(self, kafka: KafkaSettings, *, timeout_seconds: float = 60.0) -> None:
        self._kafka = kafka
        self._timeout = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._waiting: set[asyncio.Future[object]] = set()

    async def start(self) -> None:
        """Connect. Raises KafkaError or TimeoutError."""
        self._producer = AIOKafkaProducer(
            **client_options(self._kafka),
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",  # as the topics have it: else the brokers compress every batch anew
            linger_ms=5,
            partitioner=KeyPartitioner(),
            max_request_size=MAX_RECORD_BYTES + 1024 * 1024,
            request_timeout_ms=round(self._timeout * 1000),
        )
        async with asyncio.timeout(self._timeout):
            await self._producer.start()

    async def partitions(self, topic: str) -> int:
        """The number of a topic's partitions. Raises KafkaError or TimeoutError."""
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        async with asyncio.timeout(self._timeout):
            return len(await self._producer.partitions_for(topic))

    @property
    def waiting(self) -> int:
        """Records sent and not yet answered for."""
        return len(self._waiting)

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, headers: Headers = (), partition: int | None = None
    ) -> "asyncio.Future[object]":
        """Hand a record over; the future that is returned ends with the brokers' answer and need not be awaited."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(topic, key, value, headers, partition)
        except (KafkaError, TimeoutError) as error:
            hard_exit(f"a record for {topic} could not be sent", error)

    async def send_all(self, records: Iterable[Message]) -> None:
        """Hand records over, in their order."""
        topic = ""
        try:
            async with asyncio.timeout(self._timeout):
                for topic, key, value, headers in records:
                    await self._send(topic, key, value, headers)
        except (KafkaError, TimeoutError) as error:
            hard_exit(f"a record for {topic} could not be sent", error)

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int | None = None
    ) -> "asyncio.Future[object]":
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        if len(self._waiting) >= _IN_FLIGHT:
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
        sent = await self._producer.send(topic, value, key=key, partition=partition, headers=list(headers))
        self._waiting.add(sent)
        sent.add_done_callback(self._answered)
        return sent  # type: ignore[no-any-return]  # aiokafka is untyped

    async def drain(self) -> None:
        """Wait for the answer on everything sent before this call."""
        waiting = list(self._waiting)
        if waiting:
            await asyncio.wait(waiting)

    async def stop(self) -> None:
        """Wait a few seconds for what is under way, and close."""
        if self._producer is not None:
            await stop_client(self._producer, 10.0)
            self._producer = None

    def _answered(self, sent: "asyncio.Future[object]") -> None:
        self._waiting.discard(sent)
        if sent.cancelled():
            hard_exit("a record was given up by the producer")
        elif (error := sent.exception()) is not None:
            hard_exit("a record was not taken by the brokers", error)
