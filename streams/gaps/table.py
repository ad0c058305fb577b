"""The PBX's table, read for comparison: ids and channels along its primary key, page by page. Never a write or a lock.

Pages, not one long cursor, for the reason that streams/sources/database.py tells.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, Self

from streams.errors import UserError
from streams.rows.eventtime import wall_micros
from streams.rows.row import RowDecoder
from streams.settings import Settings, secret
from streams.sources.engines import ENGINES, Run

PAGE = 20_000
"""Rows read at once."""
_NAMED = 1_000
"""Ids in one SELECT."""


class TableRow(NamedTuple):
    """A row as far as it is told. `wall`: `eventtime` in microseconds of the PBX's clock; None: it cannot be read."""

    id: int
    uniqueid: str
    linkedid: str
    eventtime: str
    wall: int | None


class CelTable:
    """The table of one PBX. Use in `with`; every method raises UserError where it cannot be read.

    Entering it raises UserError, too, where the table's primary key is not its id: rows could not be read in order, nor
    told apart, nor backfilled.
    """

    def __init__(self, settings: Settings) -> None:
        self._database = settings.database
        self._engine = ENGINES[settings.database.engine]
        column = RowDecoder(settings.database.column_name_aliases, settings.pbx.name).column
        self._id_column = column("id")
        self._names = {name: self._engine.quote(column(name)) for name in ("id", "uniqueid", "linkedid", "eventtime")}
        self._table = self._engine.quote(settings.database.table)
        self._connection: AbstractContextManager[Run] | None = None
        self._run: Run | None = None

    @property
    def name(self) -> str:
        """For messages."""
        at = self._database
        return f"{at.name}.{at.table} at {at.host}:{at.port}"

    def __enter__(self) -> Self:
        password = secret(self._database.password, self._database.password_file, "database.password")
        connection = self._engine.connect(self._database, password)
        self._run = connection.__enter__()
        self._connection = connection
        try:
            self._select("SELECT MAX({id}) FROM {table}")  # one that is not there, or may not be read, is told as such
            self._check_primary_key()
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

    def highest_id(self) -> int:
        """0 where the table is empty."""
        (row,) = self._select("SELECT MAX({id}) AS id FROM {table}")
        return int(row["id"] or 0)

    def pages(self, first_id: int, last_id: int) -> Iterator[Sequence[tuple[int, Any]]]:
        """(id, uniqueid) of the rows first_id <= id <= last_id, in the order of ids."""
        last, sql = (
            first_id - 1,
            (
                "SELECT {id} AS id, {uniqueid} AS uniqueid FROM {table} WHERE {id} > %s AND {id} <= %s "
                "ORDER BY {id} LIMIT %s"
            ),
        )
        while page := self._select(sql, last, last_id, PAGE):
            yield [(row["id"], row["uniqueid"]) for row in page]
            last = page[-1]["id"]
            if len(page) < PAGE:
                return

    def named(self, ids: Sequence[int]) -> Iterator[TableRow]:
        """The rows of these ids, as they are now, in the order of ids."""
        sql = (
            "SELECT {id} AS id, {uniqueid} AS uniqueid, {linkedid} AS linkedid, {eventtime} AS eventtime FROM {table} "
        )
        for start in range(0, len(ids), _NAMED):
            some = ids[start : start + _NAMED]
            marks = ", ".join(["%s"] * len(some))
            yield from map(_row, self._select(f"{sql} WHERE {{id}} IN ({marks}) ORDER BY {{id}}", *some))

    def last_up_to(self, row_id: int) -> TableRow | None:
        """The row with the highest id that is not above this one."""
        return self._one("WHERE {id} <= %s ORDER BY {id} DESC LIMIT 1", row_id)

    def first_from(self, row_id: int) -> TableRow | None:
        """The row with the lowest id that is not below this one."""
        return self._one("WHERE {id} >= %s ORDER BY {id} LIMIT 1", row_id)

    def first_id_since(self, wall: int) -> int:
        """The lowest id from which on no row is older than this time of the PBX's clock (microseconds).

        By halving, so with some twenty look-ups in a million rows. Asterisk writes rows in the order of time, or
        seconds out of it: so ask for a time somewhat earlier.
        """
        low, high = 0, self.highest_id() + 1
        while low < high:
            middle = (low + high) // 2
            row = self.first_from(middle)
            if row is not None and row.wall is not None and row.wall < wall:
                low = max(middle, row.id) + 1
            else:
                high = middle
        return low

    def first_id_of_calls(self, first_id: int, last_id: int) -> int:
        """The lowest id of any row of the calls that have a row in this stretch of ids."""
        (row,) = self._select(
            "SELECT MIN({id}) AS id FROM {table} "
            "WHERE {linkedid} IN (SELECT {linkedid} FROM {table} WHERE {id} BETWEEN %s AND %s)",
            first_id,
            last_id,
        )
        return min(first_id, int(row["id"] or first_id))

    def present_calls(self, linkedids: Collection[str]) -> set[str]:
        """The calls among these that still have a row in the table."""
        found: set[str] = set()
        named = sorted(linkedids)
        for start in range(0, len(named), _NAMED):
            some = named[start : start + _NAMED]
            marks = ", ".join(["%s"] * len(some))
            sql = f"SELECT DISTINCT {{linkedid}} AS linkedid FROM {{table}} WHERE {{linkedid}} IN ({marks})"  # noqa: S608
            found |= {str(row["linkedid"]) for row in self._select(sql, *some)}
        return found

    def _one(self, rest: str, *values: Any) -> TableRow | None:
        sql = (
            "SELECT {id} AS id, {uniqueid} AS uniqueid, {linkedid} AS linkedid, {eventtime} AS eventtime FROM {table} "
        )
        rows = self._select(sql + rest, *values)
        return _row(rows[0]) if rows else None

    def _check_primary_key(self) -> None:
        found = self._started(*self._engine.primary_key(self._database))
        key = [str(row["name"]) for row in found]
        if [name.lower() for name in key] != [self._id_column.lower()]:
            has = f"has the primary key ({', '.join(key)})" if key else "has no primary key"
            raise UserError(
                f"table {self.name} {has}, where {self._id_column} alone must be it: its rows cannot be compared",
                f"Rows could not be told apart, nor backfilled: give it a primary key on {self._id_column}.",
            )

    def _select(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return self._started(sql.format(table=self._table, **self._names), values)

    @property
    def _started(self) -> Run:
        if self._run is None:
            raise RuntimeError("CelTable is used outside of its `with`")
        return self._run


def _row(row: dict[str, Any]) -> TableRow:
    texts = {name: _text(row[name]) for name in ("uniqueid", "linkedid", "eventtime")}
    return TableRow(int(row["id"]), wall=wall_micros(texts["eventtime"]), **texts)


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else str(value)
