"""The topic erased-numbers as a worker reads it: whole at its start, and what joins it, every few seconds."""

import asyncio
from collections.abc import Callable

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import UserError
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.client import unreachable
from streams.kafka.hard_exit import hard_exit, refuse
from streams.settings import KafkaSettings

FOLLOW_SECONDS = 2.0

_log = structlog.get_logger("worker")

Take = Callable[[bytes | None, bytes | None], None]
"""Takes key and value of a record. Raises UserError for one that cannot be obeyed."""


class ErasedTopic:
    """The records, as far as they were read. One partition; a topic that is not there holds none."""

    def __init__(self, kafka: KafkaSettings, topic: str, take: Take) -> None:
        """`topic`: its full name."""
        self._kafka = kafka
        self._partition = TopicPartition(topic, 0)
        self._take = take
        self._next = 0
        self._is_there = False

    async def read(self) -> None:
        """Take what stands there now. Raises UserError: no broker, or a record that cannot be obeyed."""
        try:
            async with BoundedReader(self._kafka) as reader:
                await self._read_on(reader)
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._kafka, error) from None

    async def follow(self) -> None:
        """Take what joins it, until cancelled; ends the process where it cannot be obeyed, with words."""
        while True:
            try:
                async with BoundedReader(self._kafka) as reader:
                    while True:
                        await asyncio.sleep(FOLLOW_SECONDS)
                        await self._read_on(reader)
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("whether numbers were erased is not known now", error=repr(error))
                await asyncio.sleep(FOLLOW_SECONDS)
            except UserError as error:
                refuse(error)
            except Exception as error:  # whatever it is: calls would be told with numbers that were erased
                hard_exit("erased numbers cannot be followed", error)

    async def _read_on(self, reader: BoundedReader) -> None:
        self._is_there = self._is_there or await reader.partitions(self._partition.topic) > 0
        if not self._is_there:
            return
        end = (await reader.ends([self._partition]))[self._partition]
        if end < self._next:
            self._next = 0  # the topic was made again
        if end == self._next:
            return
        starts = {self._partition: self._next}
        async for records in reader.read([self._partition], starts=starts, on_expired=lambda _: None):
            for record in records:
                self._take(record.key, record.value)
                self._next = record.offset + 1
        self._next = max(self._next, end)
