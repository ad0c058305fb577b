"""A connection to a PBX's table in its database: opened, looked at, closed. Never a write or a lock."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

from connectors.postgresql.connection import Run
from streams.settings import DatabaseSettings, secret
from streams.sources.engines import ENGINES


def connected(database: DatabaseSettings) -> AbstractContextManager[Run]:
    """A connection as the settings say, for `with`. Raises UserError: no password, no such server or user."""
    password = secret(database.password, database.password_file, "database.password")
    return ENGINES[database.engine].connect(database, password)


@dataclass(slots=True)
class TableConnection:
    """The base of what reads a table by one connection. Use in `with`; entering it raises UserError as `check` does."""

    database: DatabaseSettings
    _connection: AbstractContextManager[Run] | None = field(default=None, init=False)
    _run: Run | None = field(default=None, init=False)

    @property
    def place(self) -> str:
        """For messages: where the table is."""
        at = self.database
        return f"{at.name}.{at.table} at {at.host}:{at.port}"

    def check(self) -> None:
        """Look whether the table can be read, as soon as it is connected. Raises UserError."""

    def __enter__(self) -> Self:
        connection = connected(self.database)
        self._run = connection.__enter__()
        self._connection = connection
        try:
            self.check()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection, self._run = self._connection, None, None
        if connection is not None:
            connection.__exit__(kind, error, trace)

    @property
    def run(self) -> Run:
        """Runs a statement."""
        if self._run is None:
            raise RuntimeError(f"{type(self).__name__} is used outside of its `with`")
        return self._run


def first_id_since(highest_id: int, first_from: Callable[[int], tuple[int, int | None] | None], wall: int) -> int:
    """The lowest id from which on no row is older than a time of the PBX's clock (microseconds).

    By halving, so with some twenty look-ups in a million rows. `first_from(id)`: id and time of the first row from an
    id on; None: there is none. Asterisk writes rows in the order of time, or seconds out of it: so ask for a time
    somewhat earlier.
    """
    low, high = 0, highest_id + 1
    while low < high:
        middle = (low + high) // 2
        found = first_from(middle)
        if found is not None and found[1] is not None and found[1] < wall:
            low = max(middle, found[0]) + 1
        else:
            high = middle
    return low


def plain(value: Any) -> Any:
    """A driver's value of a column, without the driver's own kinds."""
    if isinstance(value, datetime | date):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", errors="replace")
    return value
