"""The logs that portal states need (portal_state.py), and whether a delivery log knows a portal."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from aiokafka import ConsumerRecord

from schemas import MalformedRecord, Serializer, written_as
from streams.delivery.record import OF_PORTALS
from streams.kafka.fenced_log import Headers
from streams.workers.deliver.batched_log import SCHEMA


class StateLog(Protocol):
    """The part of kafka/fenced_log.py that portal states need."""

    topic: str
    partition: int

    async def scan(self, take: Callable[[ConsumerRecord], None]) -> None:
        """Give every committed record to `take`, oldest first. Raises KafkaError or TimeoutError."""
        ...

    async def write(
        self,
        records: Sequence[tuple[bytes, bytes | None]],
        *,
        to: tuple[str, int] | None = None,
        headers: Headers = (),
    ) -> Sequence[int] | None:
        """One transaction, to the log or to another topic's partition. None: none of it is there. Raises Fenced."""
        ...


class _Found(Exception):
    """A reading found what it looked for."""


async def holds_calls(delivery_logs: Iterable[StateLog], portal: str, serializer: Serializer) -> bool:
    """Whether a delivery log, by its partitions, holds calls of a portal. Reads until the first one."""

    def look(record: ConsumerRecord) -> None:
        try:
            fields = serializer.decode_own(record.value, SCHEMA, written_as(record.headers))
        except (MalformedRecord, LookupError):
            return  # the partition's owner tells of it
        if fields["portal"] == portal and fields["state"] not in OF_PORTALS:
            raise _Found

    try:
        for log in delivery_logs:
            await log.scan(look)
    except _Found:
        return True
    return False
