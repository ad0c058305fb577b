"""An operator's act: a record of the workers' own memory that cannot be read is passed over from now on."""

from dataclasses import dataclass
from typing import Any

import msgspec

from schemas import MalformedRecord, UnknownSchema, written_as
from streams.clock import utc_now_us
from streams.delivery.portal_records import PortalState
from streams.delivery.stored_result import delivery_in
from streams.errors import UserError
from streams.kafka.set_aside import SetAside
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.operations.connection import Connection, crm_names
from streams.operations.dead_letter_commands import Operator
from streams.topics import AGGREGATE_CHECKPOINTS, PORTAL_STATES, SET_ASIDE_RECORDS, Topic, deliveries


@dataclass(frozen=True, slots=True)
class UnreadableMemory:
    """A record that may be set aside, and why it cannot be read."""

    place: str
    key: str
    why: str


async def unreadable_at(connection: Connection, place: str) -> UnreadableMemory:
    """The record at `<topic>/<partition>/<offset>`.

    Raises UserError: not such a place, not a topic of the workers' memory, no record there, or one that can be read.
    """
    topic, partition, offset = _parsed(connection, place)
    record = await _record_at(connection, topic, partition, offset)
    key = (record.key or b"").decode("utf-8", "replace")
    why = _why_unreadable(connection, topic, record)
    if why is None:
        raise UserError(f"{place} can be read (its key is {key!r})", "Only what workers stop at is set aside.")
    return UnreadableMemory(place, key, why)


async def set_aside(connection: Connection, record: UnreadableMemory, operator: Operator) -> None:
    """Have workers pass over the record from their next start on. Raises UserError."""
    act = SetAside(by=operator.by, at=utc_now_us(), note=operator.note, key=record.key)
    topic = connection.topic(SET_ASIDE_RECORDS)
    await connection.topics.partitions(topic)  # says what to do where it is missing
    await connection.topics.send([Outgoing(topic, record.place.encode(), msgspec.json.encode(act), 0)])


def _parsed(connection: Connection, place: str) -> tuple[Topic, int, int]:
    name, _, numbers = place.rpartition("/")
    name, _, partition = name.rpartition("/")
    if not (name and partition.isdecimal() and numbers.isdecimal()):
        raise UserError(f"{place!r} is not TOPIC/PARTITION/OFFSET", "Give it as the worker names it when it stops.")
    memory = (AGGREGATE_CHECKPOINTS, PORTAL_STATES, *map(deliveries, crm_names()))
    for topic in memory:
        if connection.topic(topic) == name:
            return topic, int(partition), int(numbers)
    raise UserError(
        f"{name!r} is not a topic of the workers' memory",
        f"Those are {', '.join(map(connection.topic, memory))}; what cannot be read elsewhere is a dead letter.",
    )


async def _record_at(connection: Connection, topic: Topic, partition: int, offset: int) -> TopicRecord:
    name = connection.topic(topic)
    if partition < await connection.topics.partitions(name):
        async for record in connection.topics.read(name, [partition], start={partition: offset}):
            if record.offset == offset and record.value is not None:
                return record
            break
    raise UserError(
        f"{name}/{partition} holds no record at offset {offset}", "Start the worker: it names the place that it needs."
    )


def _why_unreadable(connection: Connection, topic: Topic, record: TopicRecord) -> str | None:
    """None: it can be read."""
    if not topic.schema:
        return "a checkpoint, in the aggregate worker's own form"
    try:
        fields: dict[str, Any] = connection.serializer.decode_own(
            record.value, topic.schema, written_as(record.headers)
        )
        if topic == PORTAL_STATES:
            PortalState.from_record(fields)
        else:
            delivery_in(fields, connection.serializer.decode_own)
    except (MalformedRecord, UnknownSchema, msgspec.ValidationError) as error:
        return str(error)
    return None
