"""The results that stand on call-results: the highest (version, correction) of each call, in some 40 bytes."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field

import msgspec

from schemas import MalformedRecord
from streams.calls.call import Version
from streams.calls.differences import compared_digest, has_joined
from streams.calls.result import CallResult
from streams.clock import UtcMillis
from streams.dead_letter_reasons import DeadLetterReason
from streams.kafka.topic_client import TopicRecord
from streams.operations.connection import Connection
from streams.replay.call_index import CallIndex, key_hash
from streams.topics import CALL_RESULTS, DEAD_LETTERS

_OFFSET_BITS = 48
_OFFSET = (1 << _OFFSET_BITS) - 1
_ROWS_BITS = 20
_ROWS = (1 << _ROWS_BITS) - 1

OnRead = Callable[[int], None]
"""Told how many records were read by now."""

_PROGRESS_RECORDS = 5_000


@dataclass(slots=True)
class PublishedCall:
    """The highest record of a call."""

    version: int
    correction: int
    digest: int
    """Of what is compared (calls/differences.py)."""
    place: int
    """Partition and offset as one number, which rises along each partition."""

    @property
    def rows(self) -> Version:
        """Highest row id, and number of rows."""
        return self.version >> _ROWS_BITS, self.version & _ROWS


@dataclass(slots=True)
class PublishedResults:
    """Read by `read_results` once; then asked call by call."""

    highest_correction: int = 0
    records: int = 0
    unreadable: int = 0
    """Records that are not results of ours: their calls count as if they had none."""
    withheld: set[int] = field(default_factory=set)
    """Hashes of the calls that the aggregate worker withheld at some time, for rows of them may be lost."""
    _index: CallIndex = field(default_factory=lambda: CallIndex(3))
    _corrections: dict[int, int] = field(default_factory=dict)
    """By place in the index: few calls were corrected."""

    def __len__(self) -> int:
        return len(self._index)

    @property
    def bytes_held(self) -> int:
        """Memory of the index."""
        return self._index.bytes_held

    def of(self, call_id: str) -> PublishedCall | None:
        """The highest record of a call; None: it has none."""
        place = self._index.find(key_hash(call_id.encode()))
        if place is None:
            return None
        versions, digests, places = self._index.columns
        return PublishedCall(versions[place], self._corrections.get(place, 0), digests[place], places[place])

    def was_withheld(self, call_id: str) -> bool:
        """Whether the worker withheld a call at some time."""
        return key_hash(call_id.encode()) in self.withheld

    def add(self, result: CallResult, partition: int, offset: int) -> None:
        """Take a record; the highest (version, correction) of a call stays."""
        self.records += 1
        self.highest_correction = max(self.highest_correction, result.correction)
        known = len(self._index)
        place = self._index.place(key_hash(result.call_id.encode()))
        versions, digests, places = self._index.columns
        if place < known:
            order = versions[place], self._corrections.get(place, 0)
            if (result.version, result.correction) <= order:
                return
        versions[place], digests[place] = result.version, compared_digest(result, joined=has_joined(result))
        places[place] = place_of(partition, offset)
        if result.correction:
            self._corrections[place] = result.correction
        else:
            self._corrections.pop(place, None)


def place_of(partition: int, offset: int) -> int:
    """Partition and offset of a record as one number."""
    return partition << _OFFSET_BITS | offset


async def read_results(
    connection: Connection, since_ms: UtcMillis | None, on_read: OnRead, wanted: Callable[[bytes], bool] | None = None
) -> PublishedResults:
    """Read call-results and the aggregate worker's letters about calls that it withheld.

    `since_ms`: none written before is needed (Unix milliseconds); `wanted`: by key. Raises UserError: no broker.
    """
    found = PublishedResults()
    async for record in connection.topics.read(connection.topic(CALL_RESULTS), since_ms=since_ms):
        if wanted is not None and not wanted(record.key or b""):
            continue
        result = await result_in(connection, record)
        if result is None:
            found.unreadable += 1
            continue
        found.add(result, record.partition, record.offset)
        if not found.records % _PROGRESS_RECORDS:
            on_read(found.records)
    on_read(found.records)
    async for record in connection.topics.read(connection.topic(DEAD_LETTERS), since_ms=since_ms):
        try:
            letter = await connection.read(record, DEAD_LETTERS.schema)
        except MalformedRecord:
            continue
        if letter["reason"] == DeadLetterReason.ROWS_LOST.code and letter["call_id"]:
            found.withheld.add(key_hash(letter["call_id"].encode()))
    return found


async def result_in(connection: Connection, record: TopicRecord) -> CallResult | None:
    """The result in a record; None: it holds none of ours. Raises UserError: no registry to ask."""
    try:
        return CallResult.from_record(await connection.read(record, CALL_RESULTS.schema))
    except (MalformedRecord, msgspec.ValidationError):
        return None


async def results_at(connection: Connection, places: Collection[int]) -> AsyncIterator[tuple[int, CallResult]]:
    """The results at these places (`place_of`), in their order. Raises UserError: no broker."""
    by_partition: dict[int, set[int]] = {}
    for place in places:
        by_partition.setdefault(place >> _OFFSET_BITS, set()).add(place & _OFFSET)
    topic = connection.topic(CALL_RESULTS)
    for partition, offsets in sorted(by_partition.items()):
        last = max(offsets)
        async for record in connection.topics.read(topic, [partition], start={partition: min(offsets)}):
            if record.offset in offsets:
                result = await result_in(connection, record)
                if result is not None:
                    yield place_of(partition, record.offset), result
            if record.offset >= last:
                break
