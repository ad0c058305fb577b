"""Raw rows of the topic `cel` as Parquet files by day: what `cel2crm export --rows` does.

    <directory>/cel/day=2026-11-25/cel-0.parquet

A file for each day (UTC, of the time at which the record was written) and partition: the records as they stand on the
topic, bytes for bytes, as a replay reads them. Given again, a file gets the records that it lacks, and never loses one:
what retention has removed from the topic stays.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from streams.analysis.day_files import unreadable_file
from streams.analysis.lake_schema import TIME
from streams.analysis.new_file import NewFile
from streams.analysis.one_export import alone, begin_ms, date_of, day_of_ms
from streams.kafka.topic_client import TopicRecord
from streams.operations.connection import Connection
from streams.topics import CEL

ROWS = "cel"
SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(), metadata={"doc": "the linkedid, as it stands on the topic"}),
        pa.field("value", pa.binary(), metadata={"doc": "the row as JSON, as it stands on the topic"}),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", TIME, nullable=False, metadata={"doc": "when the record was written"}),
    ]
)

_OPEN_DAYS = 3
"""Records of a partition come nearly in the order of their times: files of days before are finished meanwhile."""
_BATCH_ROWS = 10_000


class WrittenRows(NamedTuple):
    """A day of the export."""

    day: str
    """Such as 2026-11-25."""
    rows: int
    """In its files now."""
    added: int


@dataclass(slots=True)
class RowExport:
    """One run. `run` raises UserError: no broker, no such topic, no place for the files, a file that is none."""

    connection: Connection
    directory: Path
    first: date | None = None
    until: date | None = None
    """Rows that were written on a day, UTC, from `first` on and before this one."""

    async def run(self, on_day: Callable[[WrittenRows], None]) -> None:
        """Bring every file up to the topic; `on_day` is called with each day, in order."""
        rows: dict[int, int] = {}
        added: dict[int, int] = {}
        with alone(self.directory):
            for partition in range(await self.connection.topics.partitions(self.connection.topic(CEL))):
                for day, file in (await self._partition(partition)).items():
                    rows[day] = rows.get(day, 0) + file.there
                    added[day] = added.get(day, 0) + file.added
        for day in sorted(rows):
            on_day(WrittenRows(date_of(day).isoformat(), rows[day], added[day]))

    async def _partition(self, partition: int) -> "dict[int, _RowFile]":
        """The files of a partition, by day; all of them finished."""
        files: dict[int, _RowFile] = {}
        open_days: OrderedDict[int, None] = OrderedDict()
        since = None if self.first is None else begin_ms(self.first)
        until = None if self.until is None else begin_ms(self.until)
        try:
            async for record in self.connection.topics.read(self.connection.topic(CEL), [partition], since_ms=since):
                if (since or 0) <= record.timestamp_ms and (until is None or record.timestamp_ms < until):
                    day = day_of_ms(record.timestamp_ms)
                    file = files.get(day)
                    if file is None:
                        file = files[day] = _RowFile(self.directory, partition, date_of(day).isoformat())
                    if file.add(record):
                        open_days[day] = None
                        open_days.move_to_end(day)
                    if len(open_days) > _OPEN_DAYS:
                        files[open_days.popitem(last=False)[0]].finish()
            for day in open_days:
                files[day].finish()
        finally:
            for file in files.values():
                file.discard()
        return files


class _Known:
    """Which records a file holds: their offsets and times. A topic that was made again begins at 0 once more."""

    def __init__(self, path: Path) -> None:
        places = _places(path)
        self._offsets = array("q", [offset for offset, _ in places])
        self._times = array("q", [at_ms for _, at_ms in places])

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, record: TopicRecord) -> bool:
        first, end = bisect_left(self._offsets, record.offset), bisect_right(self._offsets, record.offset)
        return record.timestamp_ms in self._times[first:end]


@dataclass(slots=True)
class _RowFile:
    """The file of a partition and day. It is written anew where a record joins it, and left alone otherwise."""

    directory: Path
    partition: int
    day: str
    added: int = 0
    _known: _Known = field(init=False)
    _rows: list[TopicRecord] = field(default_factory=list)
    _file: NewFile | None = None

    def __post_init__(self) -> None:
        """Raises UserError: there is a file that is none."""
        self._known = _Known(self.path)

    @property
    def path(self) -> Path:
        """Where it stands."""
        return self.directory / ROWS / f"day={self.day}" / f"{ROWS}-{self.partition}.parquet"

    @property
    def there(self) -> int:
        """Rows that it holds when it is finished."""
        return len(self._known)

    def add(self, record: TopicRecord) -> bool:
        """Take a record that it lacks; whether it did. Raises UserError: no place for it."""
        if record in self._known:
            return False
        if self._file is None:
            self._file = NewFile(self.path, SCHEMA)
            self._file.begin()
            self._take_over(self._file)
        self._rows.append(record)
        self.added += 1
        if len(self._rows) >= _BATCH_ROWS:
            self._flush(self._file)
        return True

    def finish(self) -> None:
        """Give what was written its name. Raises UserError: no place for it."""
        if self._file is not None:
            self._flush(self._file)
            self._file.close()
            self._file.publish()
            self._file = None
            self._known = _Known(self.path)

    def discard(self) -> None:
        """Remove what is not finished."""
        if self._file is not None:
            self._file.discard()

    def _take_over(self, file: NewFile) -> None:
        try:
            with self.path.open("rb") as old:
                for batch in pq.ParquetFile(old).iter_batches(_BATCH_ROWS):
                    file.write(batch.cast(SCHEMA))
        except FileNotFoundError:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            raise unreadable_file(self.path, error) from None

    def _flush(self, file: NewFile) -> None:
        rows, self._rows = self._rows, []
        columns = [
            pa.array([each.key for each in rows], pa.binary()),
            pa.array([each.value for each in rows], pa.binary()),
            pa.array([self.partition] * len(rows), pa.int32()),
            pa.array([each.offset for each in rows], pa.int64()),
            pa.array([each.timestamp_ms * 1000 for each in rows], pa.int64()).cast(TIME),
        ]
        file.write(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))


def _places(path: Path) -> list[tuple[int, int]]:
    """Offset and Unix milliseconds of each record in a file, sorted; none where there is no file."""
    try:
        with path.open("rb") as file:
            table = pq.read_table(file, columns=["offset", "timestamp"])
    except FileNotFoundError:
        return []
    except (pa.ArrowException, OSError, KeyError) as error:
        raise unreadable_file(path, error) from None
    times = table.column("timestamp").cast(TIME).cast(pa.int64()).to_pylist()
    return sorted(zip(table.column("offset").to_pylist(), (each // 1000 for each in times), strict=True))
