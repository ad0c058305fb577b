"""Debezium's heartbeats: the only sign that a source follows its database.

A task may say RUNNING before it has its place in the binlog, and goes on saying so while the database refuses it (seen
with a locked account: minutes of vain reconnecting, without a word in Connect's status).
"""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.client import unreachable
from streams.kafka.login import consumer_options
from streams.kafka.reach import require_reach
from streams.settings import KafkaSettings


class Heartbeats:
    """The heartbeats on one topic of one partition; use in `async with`.

    Every call raises UserError when no broker answers in time.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, *, timeout_seconds: float = 15.0) -> None:
        self._kafka = kafka
        self._partition = TopicPartition(topic, 0)
        self._timeout = timeout_seconds
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        await require_reach(self._kafka, seconds=self._timeout)
        consumer = AIOKafkaConsumer(**consumer_options(self._kafka), client_id="cel2crm-heartbeats", group_id=None)
        try:
            await self._answer(consumer.start())
        except BaseException:
            await consumer.stop()
            raise
        consumer.assign([self._partition])
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def count(self) -> int:
        """Number of heartbeats so far: the offset that the next one will have."""
        offsets = await self._answer(self._started.end_offsets([self._partition]))
        return int(offsets[self._partition])

    async def last(self) -> float | None:
        """Time of the last heartbeat in Unix seconds; None: there is none."""
        end = await self.count()
        begin = await self._answer(self._started.beginning_offsets([self._partition]))
        if end <= begin[self._partition]:
            return None
        self._started.seek(self._partition, end - 1)
        record = await self._answer(self._started.getone())
        return float(record.timestamp) / 1000

    @property
    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("Heartbeats is used outside of its `async with`")
        return self._consumer

    async def _answer(self, request: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await request
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None
