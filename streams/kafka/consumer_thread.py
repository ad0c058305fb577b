"""Faust's thread around aiokafka's consumer, with commits and offsets asked directly (faust_overrides.py)."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.committed import Committed
from streams.kafka.gathered_commits import GatheredCommits, Offsets
from streams.kafka.gone_topics import TopicGone

_ANSWER_SECONDS = 10.0
"""Limit of every request about offsets: shorter than the session, so that no commit outlives the assignment."""

LINGER_BYTES = 256 * 1024
"""A fetch that has so much is answered at once."""
_IDLE_WAIT_MS = 1500
"""How long a fetch waits for the first record; Faust's."""

T = TypeVar("T")


class KnownEnd(NamedTuple):
    """The end of a partition, as the answer to a fetch told it."""

    offset: int
    as_of_ms: int
    """Unix milliseconds."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, with what concerns offsets asked and told directly.

    Faust's own way, a queue with two workers of which one waits for records, would add up to a second to each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commits = GatheredCommits(self._commit_together)

    async def ask(self, request: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine of the thread's loop, at most `_ANSWER_SECONDS`."""

        async def bounded() -> T:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await request

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(bounded(), self.thread_loop))

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's name
        """Records that came, at most `timeout` seconds waited for; not through Faust's queue either."""
        consumer = self._ensure_consumer()
        fetched = self._fetch_records(
            consumer, active_partitions, timeout=timeout, max_records=consumer._max_poll_records
        )
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(fetched, self.thread_loop))

    @property
    def join_error(self) -> BaseException | None:
        """The error of a join that aiokafka keeps until records are asked for; None: there is none."""
        error: BaseException | None = getattr(self._coordinator, "_pending_exception", None)
        return error

    @property
    def membership_error(self) -> BaseException | None:
        """The error for which the membership of the group has ended by itself; None: it goes on."""
        task = getattr(self._coordinator, "_coordination_task", None)
        if task is None or not task.done() or task.cancelled():
            return None
        error: BaseException | None = task.exception()
        return error

    @property
    def _coordinator(self) -> Any:
        return getattr(self._consumer, "_coordinator", None)

    def linger(self, seconds: float) -> None:
        """Have the brokers gather records for so long before they answer a fetch; 0: they answer at the first one."""
        fetcher = self._ensure_consumer()._fetcher
        fetcher._fetch_min_bytes = LINGER_BYTES if seconds else 1
        fetcher._fetch_max_wait_ms = round(seconds * 1000) if seconds else _IDLE_WAIT_MS

    def known_end(self, tp: TP) -> KnownEnd | None:
        """What the last fetch of a partition told; None: nothing yet."""
        subscription = self._ensure_consumer()._subscription.subscription
        partition = TopicPartition(tp.topic, tp.partition)
        assignment = None if subscription is None else subscription.assignment
        if assignment is None or partition not in assignment.tps:
            return None
        state = assignment.state_value(partition)
        as_of_ms = state.timestamp  # the thread writes it after the offset, so that the offset is as new at least
        return None if as_of_ms is None or state.highwater is None else KnownEnd(state.highwater, as_of_ms)

    async def commit_marked(self, tp: TP, offset: int, metadata: str) -> bool:
        """Commit in the thread, with others that are asked for now; True: the broker confirmed it."""
        return await self._commits.commit(TopicPartition(tp.topic, tp.partition), OffsetAndMetadata(offset, metadata))

    async def _commit_together(self, offsets: Offsets) -> bool:
        try:
            await self.ask(self._ensure_consumer().commit(dict(offsets)))
        except (CommitFailedError, IllegalStateError) as error:
            self.log.warning("Not committed, the group rebalances: %s: %s", _names(offsets), error)
            return False
        except TopicGone:
            return False  # which is told once (gone_topics.py), and not at every checkpoint
        except (KafkaError, TimeoutError) as error:
            self.log.warning("Not committed: %s: %r", _names(offsets), error)
            return False
        return True

    async def committed_marked(self, tp: TP) -> Committed | None:
        """Ask the group's coordinator, through the membership."""
        partition = TopicPartition(tp.topic, tp.partition)
        answer = await self.ask(self._ensure_consumer()._coordinator.fetch_committed_offsets([partition]))
        found = answer.get(partition)
        return None if found is None or found.offset < 0 else Committed(found.offset, found.metadata or "")

    async def first_offsets(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset that each still holds."""
        return await self._offsets(self._ensure_consumer().beginning_offsets, partitions)

    async def end_offsets(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The offset after the last record of each."""
        return await self._offsets(self._ensure_consumer().end_offsets, partitions)

    async def _offsets(
        self,
        request: Callable[[list[TopicPartition]], Coroutine[Any, Any, dict[TopicPartition, int]]],
        partitions: Iterable[TP],
    ) -> dict[TP, int]:
        asked = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
        answer = await self.ask(request(asked)) if asked else {}
        return {TP(each.topic, each.partition): offset for each, offset in answer.items()}


def _names(offsets: Offsets) -> str:
    return ", ".join(f"{each.topic}/{each.partition}" for each in offsets)
