"""A Parquet file that is whole under its name or not there, while it is written under another one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.errors import UserError


@dataclass(slots=True)
class NewFile:
    """`begin`, `write`, `close`, then `publish`; `discard` at any time. Each raises UserError: no place for it."""

    path: Path
    """The name that it gets."""
    schema: pa.Schema
    """With the metadata of the file."""
    rows: int = 0
    _writer: pq.ParquetWriter | None = None
    _file: Any = None

    @property
    def partial(self) -> Path:
        """The name that it has until it is whole: no pattern *.parquet finds it."""
        return self.path.with_name(f".{self.path.name}.partial")

    def begin(self) -> None:
        """Open it."""
        with told_where(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.partial.open("wb")
            self._writer = pq.ParquetWriter(self._file, self.schema, compression="zstd")

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Write rows of its schema."""
        if len(rows) and self._writer is not None:
            with told_where(self.path):
                self._writer.write(rows)
            self.rows += len(rows)

    def close(self) -> None:
        """End the file, all of it on disk."""
        with told_where(self.path):
            if self._writer is not None:
                self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def publish(self) -> None:
        """Give it its name, in place of the one that had it."""
        with told_where(self.path):
            self.partial.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Remove what was written under the other name, where it still has that."""
        with suppress(OSError, ValueError, pa.ArrowException):  # a full disk: what waits is not wanted any more
            if self._writer is not None:
                self._writer.close()
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        self.partial.unlink(missing_ok=True)


@contextmanager
def told_where(path: Path) -> Iterator[None]:
    """An error of the file system as words that name the file and what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}",
            "Days that are finished stay as they are; give the same command again when there is room, or name another "
            "directory with --to.",
        ) from None
