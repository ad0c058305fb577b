"""Resolutions of dead letters, by whom and why: a companion topic of records that are only ever added.

A topic of its own, since a topic has one schema: sinks that read the dead letters keep reading one kind of record. Not
compacted: a letter that was retried, and later dropped, shows both. It is kept as long as the dead letters, and a
resolution is younger than its letter, so that none comes back to the list by age.
"""

from typing import Any

import msgspec

from schemas import MalformedRecord
from streams.kafka.topic_client import Outgoing
from streams.operations.connection import Connection
from streams.topics import DEAD_LETTER_RESOLUTIONS

Place = tuple[int, int]
"""Partition and offset of a dead letter."""


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """One line about one dead letter. `at`: UTC microseconds from 1970."""

    partition: int
    offset: int
    action: str
    by: str
    at: int
    note: str = ""
    component: str = ""
    reason: str = ""
    call_id: str | None = None
    command: str | None = None

    @property
    def place(self) -> Place:
        """Place of the dead letter."""
        return self.partition, self.offset

    def record(self) -> dict[str, Any]:
        """For the Avro codec."""
        return msgspec.structs.asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Resolution":
        """The resolution that the Avro codec read. Raises msgspec.ValidationError."""
        return msgspec.convert(record, cls)

    async def outgoing(self, connection: Connection) -> Outgoing:
        """The record to be written. Raises UserError."""
        key = f"{self.partition}/{self.offset}".encode()
        return await connection.outgoing(DEAD_LETTER_RESOLUTIONS, key, self.record(), self.partition)


class ResolutionLog:
    """The resolutions as far as they were read; each record is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._by_place: dict[Place, tuple[Resolution, ...]] = {}
        self._next: dict[int, int] = {}
        """By partition, the offset to read on from."""

    def of(self, place: Place) -> tuple[Resolution, ...]:
        """The resolutions of a dead letter, oldest first."""
        return self._by_place.get(place, ())

    async def read_on(self) -> None:
        """Take up what has come since the last call. Raises UserError: no broker, no topic."""
        topic = self._connection.topic(DEAD_LETTER_RESOLUTIONS)
        async for record in self._connection.topics.read(topic, start=self._next):
            self._next[record.partition] = record.offset + 1
            try:
                fields = await self._connection.read(record, DEAD_LETTER_RESOLUTIONS.schema)
                resolution = Resolution.from_record(fields)
            except (MalformedRecord, msgspec.ValidationError):
                continue
            self._by_place[resolution.place] = (*self.of(resolution.place), resolution)
