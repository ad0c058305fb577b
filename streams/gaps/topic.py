"""The `cel` topic, read for comparison: its first kept rows, every row's key, and the rows of some calls."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field

from streams.errors import UnreadableRow
from streams.gaps.call_tally import CallTally
from streams.gaps.horizon import FirstRow, Horizon
from streams.gaps.record_keys import record_keys
from streams.gaps.row_index import RowIndex, channel_hash
from streams.kafka.topic_client import TopicRecord, Topics
from streams.rows.eventtime import wall_micros
from streams.rows.row import RowDecoder
from streams.settings import Settings
from streams.topics import CEL

_HEAD_RECORDS = 50_000
"""Records in which a partition's first row is looked for: several PBXs may share the topic."""
_PROGRESS_RECORDS = 20_000

OnRecords = Callable[[int], None]


@dataclass(slots=True)
class TopicRows:
    """The rows of one PBX on the topic."""

    index: RowIndex = field(default_factory=RowIndex)
    tallies: dict[int, CallTally] = field(default_factory=dict)
    """By partition: the calls of the rows that the aggregate worker has taken for good."""
    positions: dict[int, int] = field(default_factory=dict)
    """By partition: the offset up to which was read."""
    count: int = 0
    waiting: int = 0
    """Rows that the aggregate worker has still to take."""


@dataclass(slots=True)
class CallOnTopic:
    """A call as the topic has it."""

    linkedid: str
    first_id: int
    last_id: int
    written_ms: int
    """When its last row came to the topic (Unix milliseconds)."""


class CelTopic:
    """Reads the topic. Every method raises UserError: no broker, no such topic."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self.name = settings.kafka.topic(CEL)
        self._topics = topics
        self._pbx = settings.pbx.name
        aliases = settings.database.column_name_aliases
        self._read = record_keys(aliases, self._pbx)
        self._decoder = RowDecoder(aliases, self._pbx)

    async def partitions(self) -> int:
        """The number of its partitions."""
        return await self._topics.partitions(self.name)

    async def ends(self) -> dict[int, int]:
        """The offset after the last record, by partition."""
        return await self._topics.ends(self.name)

    async def horizon(self) -> Horizon:
        """The first kept rows."""
        return Horizon.of({number: await self._head(number, end) for number, end in (await self.ends()).items()})

    async def rows(self, taken: Mapping[int, int], since_ms: int | None, on_records: OnRecords) -> TopicRows:
        """The rows that stand there now. `taken`: by partition, the offset before which the worker has all rows.

        `since_ms`: none written before is needed (Unix milliseconds).
        """
        rows = TopicRows(positions=await self.ends())
        for number in list(rows.positions):  # one after the other: a partition's calls are counted before the next
            tally, before = CallTally(), taken.get(number, 0)
            async for record in self._topics.read(self.name, [number], since_ms=since_ms):
                rows.positions[number] = record.offset + 1
                keys = self._read(record.value)
                if keys is None or keys.pbx != self._pbx:
                    continue
                rows.index.add(keys.id, channel_hash(keys.uniqueid))
                rows.count += 1
                if record.offset >= before:
                    rows.waiting += 1
                elif keys.linkedid:
                    tally.add(hash(keys.linkedid), keys.id)
                if not rows.count % _PROGRESS_RECORDS:
                    on_records(rows.count)
            tally.finish()
            rows.tallies[number] = tally
        on_records(rows.count)
        return rows

    async def read_on(self, rows: TopicRows, *, whole: bool = False) -> None:
        """Add to the index what came since, or (`whole`) everything that stands there."""
        async for record in self._topics.read(self.name, start={} if whole else rows.positions):
            rows.positions[record.partition] = max(record.offset + 1, rows.positions.get(record.partition, 0))
            keys = self._read(record.value)
            if keys is not None and keys.pbx == self._pbx:
                rows.index.add(keys.id, channel_hash(keys.uniqueid))

    async def calls(
        self,
        wanted: Mapping[int, Collection[int]],
        taken: Mapping[int, int],
        left_out: Collection[tuple[int, int]],
        since_ms: int | None,
    ) -> AsyncIterator[tuple[CallTally, dict[int, CallOnTopic]]]:
        """By partition, some calls with the rows that the worker has taken.

        `wanted`: hashes of linkedids, by partition; `left_out`: partition and offset of records that do not count.
        """
        for number, hashes in wanted.items():
            tally, found = CallTally(), dict[int, CallOnTopic]()
            async for record in self._topics.read(self.name, [number], since_ms=since_ms):
                if record.offset >= taken.get(number, 0):
                    break
                keys = self._read(record.value)
                if keys is None or keys.pbx != self._pbx or (number, record.offset) in left_out:
                    continue
                linkedid = hash(keys.linkedid)
                if linkedid in hashes:
                    tally.add(linkedid, keys.id)
                    call = found.setdefault(linkedid, CallOnTopic(keys.linkedid, keys.id, keys.id, 0))
                    call.first_id, call.last_id = min(call.first_id, keys.id), max(call.last_id, keys.id)
                    call.written_ms = max(call.written_ms, record.timestamp_ms)
            tally.finish()
            yield tally, found

    async def _head(self, number: int, end: int) -> tuple[bool, FirstRow | None]:
        """Whether a partition has lost records, and the first streamed row of this PBX."""
        trimmed, looked = end > 0, 0
        async for record in self._topics.read(self.name, [number]):
            trimmed = trimmed if looked else record.offset > 0
            looked += 1
            if (row := self._first_row(record)) is not None:
                return trimmed, row
            if looked >= _HEAD_RECORDS:
                break
        return trimmed, None

    def _first_row(self, record: TopicRecord) -> FirstRow | None:
        try:
            row = self._decoder.decode(record.value)
        except UnreadableRow:
            return None
        if row.pbx != self._pbx or row.op != "c":
            return None
        return FirstRow(row.id, row.uniqueid, wall_micros(row.eventtime), row.commit_ms)
