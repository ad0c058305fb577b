"""Commits of a consumer that are asked for at about the same time go to the brokers in one request.

The checkpoints of all partitions of a process begin together. A request each would keep the coordinator, and the rows
behind it, waiting for as many answers.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.kafka.gathered_questions import GatheredQuestions

Offsets = Mapping[TopicPartition, OffsetAndMetadata]


class GatheredCommits:
    """Offsets that wait for the next request; one is under way at a time."""

    def __init__(self, send: Callable[[Offsets], Awaitable[bool]]) -> None:
        """`send`: one request; whether the broker confirmed all of it."""
        self._send = send
        self._waiting: dict[TopicPartition, OffsetAndMetadata] = {}
        self._requests = GatheredQuestions(self._send_waiting)

    async def commit(self, partition: TopicPartition, offset: OffsetAndMetadata) -> bool:
        """Whether it was confirmed; where one partition's was not, none counts. Raises what `send` raises."""
        self._waiting[partition] = offset
        return await self._requests.ask()

    async def _send_waiting(self) -> bool:
        waiting, self._waiting = self._waiting, {}
        return await self._send(waiting)
