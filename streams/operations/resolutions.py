"""What was done about dead letters: a companion topic of records that are only ever added.

A topic of its own, since a topic has one schema: sinks that read the dead letters keep reading one kind of record. Not
compacted: a letter that was retried, and later dropped, shows both. It is kept as long as the dead letters, and a
resolution is younger than its letter, so that none comes back to the list by age.
"""

from typing import Any

import msgspec

from streams.kafka.topic_client import Outgoing

Place = tuple[int, int]
"""Partition and offset of a dead letter."""


class Resolution(msgspec.Struct, frozen=True):
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
        """Which dead letter."""
        return self.partition, self.offset

    def record(self) -> dict[str, Any]:
        """For the Avro codec."""
        return msgspec.structs.asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Resolution":
        """What the Avro codec read. Raises msgspec.ValidationError."""
        return msgspec.convert(record, cls)

    def outgoing(self, topic: str, value: bytes) -> Outgoing:
        """The record to be written."""
        return Outgoing(topic, f"{self.partition}/{self.offset}".encode(), value, self.partition)
