"""Commits of a consumer that are asked for at about the same time go to the brokers in one request.

The checkpoints of all partitions of a process begin together. A request each would keep the coordinator, and the rows
behind it, waiting for as many answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.structs import OffsetAndMetadata, TopicPartition

Offsets = Mapping[TopicPartition, OffsetAndMetadata]


class _Batch:
    """Offsets that go together, and what became of them."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class GatheredCommits:
    """One request at a time: what is asked for in the same turn of the event loop, or while a request is under way,
    goes with the next one."""

    def __init__(self, send: Callable[[Offsets], Awaitable[bool]]) -> None:
        """`send`: one request; whether the broker confirmed all of it."""
        self._send = send
        self._next: _Batch | None = None
        self._sending: asyncio.Task[None] | None = None

    async def commit(self, partition: TopicPartition, offset: OffsetAndMetadata) -> bool:
        """Whether it was confirmed; where one partition's was not, none counts. Raises what `send` raises."""
        if self._next is None:
            self._next = _Batch()
        batch = self._next
        batch.offsets[partition] = offset
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        return await asyncio.shield(batch.answer)

    async def _send_all(self) -> None:
        try:
            while self._next is not None:
                batch, self._next = self._next, None
                try:
                    answer = await self._send(batch.offsets)
                except Exception as error:  # whatever it is: it belongs to those who asked
                    batch.answer.set_exception(error)
                else:
                    batch.answer.set_result(answer)
        finally:
            self._sending = None
