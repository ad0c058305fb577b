"""aiokafka's consumer as Faust drives it, but in the app's own event loop and asked directly (faust_overrides.py)."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from streams.kafka.committed import Committed
from streams.kafka.gathered_commits import GatheredCommits, Offsets
from streams.kafka.gone_topics import TopicGone
from streams.kafka.login import IDLE_LOOK_MS

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


class _Serving:
    """What Faust takes for a thread with a loop of its own: a task in the app's loop."""

    def __init__(self, consumer: "GroupConsumer") -> None:
        self._consumer = consumer
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serve until the consumer is stopped. What fails then is told to Faust, as of a thread."""
        self.task = asyncio.ensure_future(self._consumer._serve())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    def stop(self) -> None:
        """A thread would be waited for here; see GroupConsumer.stop."""


class GroupConsumer(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer, in the loop of those who ask it.

    Faust would have it in a thread of its own: for each few records two loops that wake each other, and a queue with
    two workers, of which one waits for records, adds up to a second to each question about offsets. What it was for,
    heartbeats while the app's loop is busy, is not needed: the workers give way every few milliseconds (turn.py).
    """

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(*args, loop=loop, thread_loop=loop, Worker=_Serving, **kwargs)
        self._commits = GatheredCommits(self._commit_together)

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> AIOKafkaConsumer:
        consumer = super()._create_consumer(loop)
        consumer._consumer_timeout = IDLE_LOOK_MS / 1000
        return consumer

    async def stop(self) -> None:
        """Leave the group, and end."""
        await super().stop()
        serving = cast(_Serving | None, self._thread)
        if serving is not None and serving.task is not None:
            await asyncio.wait([serving.task])

    async def _gather_remaining_tasks(self) -> None:
        """Faust would cancel every task of the loop: it is not this consumer's alone."""

    async def _keepalive2(self) -> None:
        """A loop that others use wakes by itself."""

    _thread_keepalive = Service.task(_keepalive2)

    async def ask(self, request: Coroutine[Any, Any, T]) -> T:
        """Await an answer, at most `_ANSWER_SECONDS`."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await request

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's name
        """Records that came, at most `timeout` seconds waited for."""
        consumer = self._ensure_consumer()
        return await self._fetch_records(
            consumer, active_partitions, timeout=timeout, max_records=consumer._max_poll_records
        )

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
        if state.timestamp is None or state.highwater is None:
            return None
        return KnownEnd(state.highwater, state.timestamp)

    async def commit_marked(self, tp: TP, offset: int, metadata: str) -> bool:
        """Commit, with others that are asked for now; True: the broker confirmed it."""
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
