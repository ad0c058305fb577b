"""The files of one day of an export: whole under their names or not there, and what they hold told by themselves.

    <directory>/call_results/day=2026-11-25/call_results.parquet
    <directory>/call_legs/day=2026-11-25/call_legs.parquet

A day's files never lose a call: what a topic no longer holds is taken over from the file that is replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.analysis.lake_schema import OF_RECORDS, columns_of
from streams.analysis.new_file import NewFile
from streams.errors import UserError

RESULTS, LEGS = "call_results", "call_legs"
SCHEMAS = {RESULTS: columns_of("call_result", *OF_RECORDS), LEGS: columns_of("call_leg")}

_CONTENT = b"cel2crm.content"
"""Key of a file's metadata: which versions of which calls the day's files hold."""


class Standing(NamedTuple):
    """How much is known of a call; the higher one is to be had."""

    version: int
    correction: int
    legs: int


def path_of(directory: Path, kind: str, day: str) -> Path:
    """Where a day's file stands."""
    return directory / kind / f"day={day}" / f"{kind}.parquet"


def content_of(directory: Path, kind: str, day: str) -> str | None:
    """What a day's file says that the day's files hold; None: there is no such file. Raises UserError: it is none."""
    path = path_of(directory, kind, day)
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        raise unreadable_file(path, error) from None
    return bytes(metadata.get(_CONTENT, b"")).decode()


def standings_in(directory: Path, day: str) -> dict[str, Standing]:
    """The calls in a day's files; none where there are no files. Raises UserError: they cannot be read."""
    results = _table(path_of(directory, RESULTS, day), ["call_id", "version", "correction"])
    legs = _table(path_of(directory, LEGS, day), ["call_id"])
    counts: dict[str, int] = {}
    for call_id in legs.column("call_id").to_pylist() if legs else ():
        counts[call_id] = counts.get(call_id, 0) + 1
    rows = results.to_pylist() if results else []
    return {row["call_id"]: Standing(row["version"], row["correction"], counts.get(row["call_id"], 0)) for row in rows}


def rows_of(directory: Path, kind: str, day: str) -> list[dict[str, Any]]:
    """The rows of a day's file; none where there is none. Raises UserError: it cannot be read."""
    table = _table(path_of(directory, kind, day))
    return table.to_pylist() if table else []


def _table(path: Path, columns: list[str] | None = None) -> pa.Table | None:
    try:
        with path.open("rb") as file:
            return pq.read_table(file, columns=columns)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise unreadable_file(path, error) from None


def unreadable_file(path: Path, error: Exception) -> UserError:
    """An error for a file that is there, and is no Parquet file of ours."""
    return UserError(
        f"{path} cannot be read: {str(error).splitlines()[0]}",
        "It is replaced only where it can be: move it away, and give the command again.",
    )


@dataclass(slots=True)
class DayFile:
    """One file of a day, while it is written under another name. `close` before `publish`."""

    directory: Path
    kind: str
    day: str
    content: str
    kept: frozenset[str] = frozenset()
    """Ids of the calls whose rows are taken over from the file that is replaced."""
    _buffer: list[Mapping[str, Any]] = field(default_factory=list)
    _file: NewFile = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is opened yet."""
        schema = SCHEMAS[self.kind].with_metadata({_CONTENT: self.content})
        self._file = NewFile(path_of(self.directory, self.kind, self.day), schema)

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._buffer)

    def begin(self) -> None:
        """Open it, and take over what is kept. Raises UserError: no place for it."""
        self._file.begin()
        old = _table(self._file.path) if self.kept else None
        if old is not None:
            taken = old.filter(pc.is_in(old.column("call_id"), value_set=pa.array(sorted(self.kept))))
            self._file.write(_as_now(taken, SCHEMAS[self.kind]))

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row, to be written with others."""
        self._buffer.append(row)

    def flush(self) -> None:
        """Write the rows that wait. Raises UserError: no place for them."""
        rows, self._buffer = self._buffer, []
        self._file.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[self.kind]))

    def close(self) -> None:
        """End the file, all of it on disk. Raises UserError: no place for it."""
        self.flush()
        self._file.close()

    def publish(self) -> None:
        """Give it its name, in place of the one that had it. Raises UserError: it cannot have it."""
        self._file.publish()

    def discard(self) -> None:
        """Remove what was written under the other name, where it still has that."""
        self._file.discard()


def _as_now(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of an older release with the columns of this one."""
    columns = [
        table.column(each.name).cast(each.type) if each.name in table.column_names else pa.nulls(len(table), each.type)
        for each in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
