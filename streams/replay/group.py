"""The consumer group of a replay: which partitions are this member's, and how far all of them are.

Rows are read apart from it (source.py): the group says who does what, and fences who does it no more.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams.kafka.admin import KafkaAdmin
from streams.kafka.client import stop_client, unreachable
from streams.kafka.committed import Committed
from streams.kafka.login import consumer_options
from streams.settings import KafkaSettings

_POLL_MS = 500
_SESSION_MS = 10_000
_ANSWER_SECONDS = 180.0
_REBALANCE_SECONDS = 60.0


class KafkaGroup:
    """See member.Group; use in `async with`. Partitions stay with their member as far as the sharing allows."""

    def __init__(self, kafka: KafkaSettings, group: str, topic: str) -> None:
        self._kafka = kafka
        self._group = group
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            **consumer_options(kafka),
            group_id=group,
            client_id="cel2crm-replay",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 4,
            partition_assignment_strategy=(StickyPartitionAssignor,),
        )
        self._admin = KafkaAdmin(kafka)
        self._assigned: frozenset[int] = frozenset()
        self._shared_out = asyncio.Event()
        self._membership: asyncio.Task[None] | None = None

    @property
    def assigned(self) -> Collection[int]:
        """See Group."""
        return self._assigned

    async def __aenter__(self) -> Self:
        """Join. Raises UserError: no broker."""
        await self._admin.__aenter__()
        self._consumer.subscribe([self._topic], listener=_Listener(self))
        try:
            async with asyncio.timeout(30.0):
                await self._consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.__aexit__(None, None, None)
            raise unreachable(self._kafka, error) from None
        self._membership = asyncio.create_task(self._stay())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._membership is not None:
            self._membership.cancel()
            await asyncio.wait([self._membership])
        await stop_client(self._consumer, 5.0)
        await self._admin.__aexit__(None, None, None)

    async def committed(self) -> Mapping[int, Committed]:
        """See Group."""
        return await self._admin.group_offsets(self._group, self._topic)

    async def commit(self, partition: int, offset: int, metadata: str) -> bool:
        """See Group."""
        place = TopicPartition(self._topic, partition)
        loop = asyncio.get_running_loop()
        until = loop.time() + _ANSWER_SECONDS
        while partition in self._assigned:
            try:
                async with asyncio.timeout(_REBALANCE_SECONDS):
                    await self._shared_out.wait()
                    await self._consumer.commit({place: OffsetAndMetadata(offset, metadata)})
                return True
            except (CommitFailedError, IllegalStateError):
                await asyncio.sleep(_POLL_MS / 1000)  # the group is being shared out anew: whose is it then?
            except (KafkaError, OSError, TimeoutError) as error:
                if loop.time() > until:
                    raise unreachable(self._kafka, error) from None
                await asyncio.sleep(_POLL_MS / 1000)
        return False

    async def _stay(self) -> None:
        """A member that does not poll is taken for dead."""
        while True:
            try:
                await self._consumer.getmany(timeout_ms=_POLL_MS)
            except KafkaError:
                await asyncio.sleep(_POLL_MS / 1000)

    def shared_out(self, partitions: Iterable[TopicPartition]) -> None:
        """Take the partitions that are this member's from now on."""
        self._consumer.pause(*partitions)
        self._assigned = frozenset(each.partition for each in partitions)
        self._shared_out.set()

    def shared_anew(self) -> None:
        """Nobody knows for a moment whose the partitions are."""
        self._shared_out.clear()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    def __init__(self, group: KafkaGroup) -> None:
        self._group = group

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._group.shared_anew()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._group.shared_out(list(assigned))
