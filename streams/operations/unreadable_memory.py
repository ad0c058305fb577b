"""Records of the workers' own memory that a worker stops at: what it reads at its start, read the same way."""

from collections.abc import Callable, Iterable

import msgspec

from schemas import MalformedRecord, UnknownSchema, written_as
from streams.calls.snapshot import UnreadableSnapshot, check_readable
from streams.delivery.portal_records import PortalState
from streams.kafka.topic_client import TopicRecord
from streams.operations.connection import Connection
from streams.topics import AGGREGATE_CHECKPOINTS, PORTAL_STATES, SET_ASIDE_RECORDS


async def unreadable_checkpoints(connection: Connection) -> tuple[str, ...]:
    """Places of checkpoints that the aggregate worker stops at. Raises UserError."""
    return await _unreadable(
        connection,
        AGGREGATE_CHECKPOINTS,
        lambda record: check_readable((record.key or b"").decode("utf-8", "replace"), record.value or b""),
    )


async def unreadable_portal_states(connection: Connection) -> tuple[str, ...]:
    """Places of records about portals that every delivery worker stops at. Raises UserError."""

    def read(record: TopicRecord) -> object:
        fields = connection.serializer.decode_own(record.value, PORTAL_STATES.schema, written_as(record.headers))
        return PortalState.from_record(fields)

    return await _unreadable(connection, PORTAL_STATES, read)


async def not_set_aside(connection: Connection, places: Iterable[str]) -> tuple[str, ...]:
    """Those of the places that no operator has set aside. Raises UserError."""
    wanted = dict.fromkeys(places)
    if wanted:
        async for record in connection.topics.read(connection.topic(SET_ASIDE_RECORDS), [0]):
            if record.value is not None:
                wanted.pop((record.key or b"").decode("utf-8", "replace"), None)
    return tuple(wanted)


async def _unreadable(connection: Connection, topic: str, read: Callable[[TopicRecord], object]) -> tuple[str, ...]:
    """The last record of each key that `read` raises for; a later one of the same key takes its place."""
    found: dict[bytes, str] = {}
    async for record in connection.topics.read(connection.topic(topic)):
        key = record.key or b""
        found.pop(key, None)
        if record.value is None:
            continue
        try:
            read(record)
        except (MalformedRecord, UnknownSchema, UnreadableSnapshot, msgspec.MsgspecError):
            found[key] = record.place
    return await not_set_aside(connection, found.values())
