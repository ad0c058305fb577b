"""Debezium's schema history topic: where the connector began without a position.

A start without a stored position writes the tables' definitions anew, each record with the place in the binlog from
which rows are captured and `snapshot`. Changes of tables afterwards have no `snapshot` (seen with Debezium 3.5).
"""

from dataclasses import dataclass

import msgspec

from connectors.mariadb.continuity import decode_position
from connectors.mariadb.history import BinlogMark
from streams.kafka.topic_client import Topics


@dataclass(frozen=True, slots=True)
class SchemaHistory:
    """`end`: number of records so far. `starts`: places where the connector began, oldest first, each once."""

    end: int
    starts: tuple[BinlogMark, ...]


async def read_schema_history(topics: Topics, topic: str, since: int) -> SchemaHistory:
    """The records from offset `since` on. Raises UserError: no broker, no such topic."""
    end = (await topics.ends(topic))[0]
    starts: dict[BinlogMark, None] = {}
    if end > since:
        async for record in topics.read(topic, start={0: since}):
            if start := _start(record.value):
                starts[start] = None
    return SchemaHistory(end, tuple(starts))


def _start(value: bytes | None) -> BinlogMark | None:
    try:
        position = msgspec.json.decode(value or b"")["position"]
        return decode_position(position) if position.get("snapshot") else None
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return None
