"""Records of the workers' own memory that cannot be read, and those of them that an operator set aside.

A worker that cannot read a record of its delivery log, its checkpoints or portal-states stops: left alone, the record's
call would be lost, or entered a second time. `cel2crm topics set-aside` writes down on the compacted topic
set-aside-records that an operator wants a record passed over, with their name and reason; then workers pass over
exactly that offset and say so. The topic is read only when a record cannot be read. Where it is lost, emptied
or missing, workers stop again with the same words.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from aiokafka import ConsumerRecord, TopicPartition

from streams.clock import UtcMicros
from streams.errors import UserError
from streams.kafka.bounded_reader import BoundedReader
from streams.settings import KafkaSettings

_log = structlog.get_logger("worker")

Outcome = TypeVar("Outcome")


def place_of(record: ConsumerRecord) -> str:
    """Where a record stands: `<topic>/<partition>/<offset>`."""
    return f"{record.topic}/{record.partition}/{record.offset}"


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on set-aside-records, as JSON; its key is the place, `<topic>/<partition>/<offset>`."""

    by: str
    at: UtcMicros
    note: str = ""
    key: str = ""
    """Key of the record that was set aside, for people."""


class UnreadableRecord(UserError):
    """A record of a worker's memory that cannot be read."""

    def __init__(self, place: str, what: str, why: object, then: str) -> None:
        """`place`: `<topic>/<partition>/<offset>`; `what`: it says; `then`: what setting it aside means."""
        super().__init__(
            f"{place} cannot be read: {why}. It says {what}: the worker stops, since to pass over it unasked could "
            "lose a call or enter it twice",
            f"If a later release of cel2crm wrote it, run that one. If it is damaged, set it aside by\n"
            f"    cel2crm topics set-aside {place} --by NAME --note WHY\n"
            f"  and start the worker: {then}",
        )
        self.place = place


def unreadable_delivery(place: str, call: str, why: object) -> UnreadableRecord:
    """The error about a record of a delivery log; `call`: its key."""
    return UnreadableRecord(
        place,
        f"where the delivery of call {call!r} stands",
        why,
        "it then knows of that call only what earlier records of it say, if any are left. Look the call up in the CRM "
        "before, and order it afterwards if it is missing there (cel2crm deliver).",
    )


class SetAsideRecords:
    """The records that are passed over, as far as they were asked for."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """`topic`: full name of set-aside-records."""
        self._kafka = kafka
        self._topic = topic
        self._known: dict[str, SetAside] = {}

    def __contains__(self, place: object) -> bool:
        """Whether the record at a place, `<topic>/<partition>/<offset>`, is to be passed over."""
        return place in self._known

    def holds(self, record: ConsumerRecord) -> bool:
        """Whether a record is to be passed over."""
        return bool(self._known) and place_of(record) in self

    async def passing_over(self, act: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """The outcome of `act`, which reads memory; done again where it met a record that was set aside.

        Raises what `act` raises: UnreadableRecord for a record that was not set aside.
        """
        while True:
            try:
                return await act()
            except UnreadableRecord as unreadable:
                if unreadable.place in self._known or not await self._was_set_aside(unreadable.place):
                    raise

    async def _was_set_aside(self, place: str) -> bool:
        """Read the topic to its end. Raises KafkaError, OSError or TimeoutError."""
        found: bytes | None = None
        async with BoundedReader(self._kafka) as reader:
            if await reader.partitions(self._topic):
                async for records in reader.read([TopicPartition(self._topic, 0)]):
                    for record in records:
                        if record.key == place.encode():
                            found = record.value
        if found is None:
            return False
        act = msgspec.json.decode(found, type=SetAside)
        self._known[place] = act
        _log.warning("a record is passed over: an operator set it aside", record=place, by=act.by, note=act.note)
        return True
