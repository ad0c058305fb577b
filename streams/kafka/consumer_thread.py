"""Faust's thread around aiokafka's consumer, with commits and offsets asked directly (faust_overrides.py)."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.committed import Committed

_ANSWER_SECONDS = 10.0
"""Limit of every request about offsets: shorter than the session, so that no commit outlives the assignment."""

T = TypeVar("T")


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, with what concerns offsets asked and told directly.

    Faust's own way, a queue with two workers of which one waits for records, would add up to a second to each.
    """

    async def ask(self, request: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine of the thread's loop, at most `_ANSWER_SECONDS`."""

        async def bounded() -> T:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await request

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(bounded(), self.thread_loop))

    async def commit_marked(self, tp: TP, offset: int, metadata: str) -> bool:
        """Commit in the thread; True: the broker confirmed it."""
        consumer = self._ensure_consumer()
        partition = TopicPartition(tp.topic, tp.partition)
        try:
            await self.ask(consumer.commit({partition: OffsetAndMetadata(offset, metadata)}))
        except (CommitFailedError, IllegalStateError) as error:
            self.log.warning("Not committed, the group rebalances: %s: %s", tp, error)
            return False
        except (KafkaError, TimeoutError) as error:
            self.log.warning("Not committed: %s: %r", tp, error)
            return False
        return True

    async def committed_marked(self, tp: TP) -> Committed | None:
        """Ask the group's coordinator, through the membership."""
        partition = TopicPartition(tp.topic, tp.partition)
        answer = await self.ask(self._ensure_consumer()._coordinator.fetch_committed_offsets([partition]))
        found = answer.get(partition)
        return None if found is None or found.offset < 0 else Committed(found.offset, found.metadata or "")
