"""The truth about each call on call-results: its highest version, and among records of that the highest correction."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from schemas import MalformedRecord
from streams.calls.outcome import outcome_of
from streams.calls.result import CallResult
from streams.clock import UtcMicros
from streams.kafka.topic_client import TopicRecord
from streams.operations.connection import Connection
from streams.topics import CALL_RESULTS

_EARLIER_MS = 24 * 3_600_000
"""A result is written after its call began; the clocks of PBX and broker may be this far apart."""

Kept = TypeVar("Kept")


@dataclass(slots=True)
class Truths(Generic[Kept]):
    """What is kept of the truth about each call, of records in any order; at least once is enough."""

    keep: Callable[[TopicRecord, CallResult], Kept | None]
    """What is kept of a call; None: nothing, for it is not meant."""
    unreadable: int = 0
    """Records that could not be read."""
    _known: dict[str, tuple[int, int, Kept | None]] = field(default_factory=dict)

    def take(self, record: TopicRecord, result: CallResult) -> Kept | None:
        """Take a record; what is kept of it, where it says more of its call than all before."""
        known = self._known.get(result.call_id)
        if known is not None and (result.version, result.correction) <= known[:2]:
            return None
        kept = self.keep(record, result)
        self._known[result.call_id] = (result.version, result.correction, kept)
        return kept

    def all(self) -> list[Kept]:
        """What is kept, a call each."""
        return [kept for _, _, kept in self._known.values() if kept is not None]


async def read_truths(connection: Connection, truths: Truths[Kept], since: UtcMicros | None) -> None:
    """Take what stands on the topic now about calls that began then or later.

    Later versions of a call may come at any time, so all records since are read. Raises UserError: no broker.
    """
    since_ms = None if since is None else max(0, since // 1000 - _EARLIER_MS)
    async for _ in _taken(connection, truths, None, since_ms):
        pass


async def follow_truths(
    connection: Connection, truths: Truths[Kept], since: UtcMicros | None, pause: Callable[[], AsyncIterator[None]]
) -> AsyncIterator[Kept]:
    """What stands on the topic now, as its records come, and then what joins it, for as long as `pause` gives turns.

    A call comes again with each later version. Raises UserError: no broker.
    """
    topic = connection.topic(CALL_RESULTS)
    read_to = await connection.topics.ends(topic)  # what is written meanwhile comes twice, and counts once
    since_ms = None if since is None else max(0, since // 1000 - _EARLIER_MS)
    async for kept in _taken(connection, truths, None, since_ms):
        yield kept
    async for _ in pause():
        ends = await connection.topics.ends(topic)
        if ends != read_to:
            async for kept in _taken(connection, truths, read_to, None):
                yield kept
            read_to = ends


async def _taken(
    connection: Connection, truths: Truths[Kept], start: dict[int, int] | None, since_ms: int | None
) -> AsyncIterator[Kept]:
    async for record in connection.topics.read(connection.topic(CALL_RESULTS), start=start, since_ms=since_ms):
        result = await read_result(connection, record)
        if result is None:
            truths.unreadable += 1
        elif (kept := truths.take(record, result)) is not None:
            yield kept


async def read_result(connection: Connection, record: TopicRecord) -> CallResult | None:
    """The result in a record, with its outcome in one word, which those of 0.1.0 lack; None: it cannot be read."""
    try:
        result = CallResult.from_record(await connection.read(record, CALL_RESULTS.schema))
    except (MalformedRecord, msgspec.ValidationError):
        return None
    if result.outcome is None:
        return msgspec.structs.replace(result, outcome=str(outcome_of(result.answered, result.result)))
    return result
