"""The questions about capture: the connector, its heartbeat, the database that it follows, rows that are not captured.

Each is asked for itself, so that what is away leaves the others answered.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from connectors.apply import connect_client
from connectors.capture_state import CaptureStateStore
from connectors.captured_rows import CapturedRows
from connectors.client import ConnectorStatus
from connectors.fault import Fault
from connectors.guard import CaptureGuard
from connectors.heartbeat import Heartbeats
from connectors.report import hold_fault
from connectors.row_mark import RowMark
from connectors.source import connector_name, heartbeat_topic
from streams.errors import UnreadableRow
from streams.kafka.topic_client import KafkaTopics, partition_of
from streams.operations.cel_table import last_row, rows_after
from streams.operations.status.facts import Backlog
from streams.rows.row import RowDecoder
from streams.settings import Settings
from streams.topics import CEL

_FURTHER_BACK = 50_000
"""Records of a partition among which a row is looked for."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of the capture, and the last row on the topic."""

    hold: Fault | None
    captured: RowMark | None
    warnings: tuple[Fault, ...] = ()


async def connector_status(settings: Settings, seconds: float) -> ConnectorStatus | None:
    """The connector in Kafka Connect; None: it has none of that name. Raises UserError: no Connect."""
    async with connect_client(settings, timeout_seconds=seconds) as connect:
        return await connect.status(connector_name(settings))


async def seconds_since_heartbeat(settings: Settings, seconds: float) -> float | None:
    """None: there was no heartbeat yet. Raises UserError: no broker."""
    kafka, topic = settings.kafka, heartbeat_topic(settings)
    async with Heartbeats(kafka, topic, timeout_seconds=seconds) as heartbeats:
        last = await heartbeats.last()
    return None if last is None else round(max(0.0, time.time() - last), 1)


async def remembered(settings: Settings, rows: CapturedRows | None) -> Memory:
    """The memory alone, without a question to the database; `rows`: look at the topic's last rows too.

    Raises UserError: no broker, no topic.
    """
    async with _topics(settings) as topics:
        state = await CaptureStateStore(settings, topics).read()
        captured = None if rows is None else await rows.last(settings.pbx.name, topics)
    hold = hold_fault(state.hold) if state is not None and state.hold is not None else None
    return Memory(hold, captured or (state.captured if state else None))


async def compared(settings: Settings, rows: CapturedRows, seconds: float) -> Memory:
    """The memory compared with the database as it is. Raises UserError: no broker, no topic, no database."""
    async with connect_client(settings, timeout_seconds=seconds) as connect, _topics(settings) as topics:
        verdict = await CaptureGuard(settings, connect, topics, rows).look()
    hold = hold_fault(verdict.hold) if verdict.hold is not None else None
    return Memory(hold, verdict.state.captured, verdict.warnings)


async def table_row(settings: Settings) -> RowMark | None:
    """The row with the highest id. Raises UserError: no database."""
    return await asyncio.to_thread(last_row, settings)


async def backlog_after(settings: Settings, captured: RowMark) -> Backlog | None:
    """The rows behind the last one that was captured; None: there are none. Raises UserError: no database."""
    rows, first, linkedid = await asyncio.to_thread(rows_after, settings, captured.id)
    return None if first is None else Backlog(rows, first, linkedid)


async def still_missing(settings: Settings, rows: CapturedRows, backlog: Backlog, seconds: float) -> Backlog | None:
    """The backlog as it is `seconds` after it was seen first; None: its first row was captured meanwhile.

    Raises UserError.
    """
    async with _topics(settings) as topics:
        captured = await rows.last(settings.pbx.name, topics)
    if captured is None or captured.id >= backlog.first.id:
        return None
    now = await backlog_after(settings, captured)
    return None if now is None or now.first != backlog.first else replace(now, seconds=seconds)


async def is_on_topic(settings: Settings, backlog: Backlog) -> bool:
    """Whether the first row stands further back on its partition than the last rows: other PBXs write there too.

    Raises UserError.
    """
    decoder = RowDecoder(settings.database.column_name_aliases, settings.pbx.name)
    topic = settings.kafka.topic(CEL)
    async with _topics(settings) as topics:
        ends = await topics.ends(topic)
        number = partition_of(backlog.linkedid.encode(), len(ends))
        async for record in topics.read(topic, [number], start={number: max(0, ends[number] - _FURTHER_BACK)}):
            if record.key != backlog.linkedid.encode():
                continue
            with suppress(UnreadableRow):
                row = decoder.decode(record.value)
                if (row.pbx, row.id) == (settings.pbx.name, backlog.first.id):
                    return True
    return False


def _topics(settings: Settings) -> KafkaTopics:
    return KafkaTopics(settings.kafka)
