"""The PBX's table, read for comparison: ids and channels along its primary key, page by page. Never a write or a lock.

Pages, not one long cursor, for the reason that streams/sources/database.py tells.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from streams.errors import UserError
from streams.rows.eventtime import wall_micros
from streams.rows.row import RowDecoder
from streams.settings import Settings
from streams.sources.engines import ENGINES
from streams.sources.table_connection import TableConnection, first_id_since, plain

PAGE = 20_000
"""Rows read at once."""
_NAMED = 1_000
"""Ids in one SELECT."""

_ROW = "SELECT {id} AS id, {uniqueid} AS uniqueid, {linkedid} AS linkedid, {eventtime} AS eventtime FROM {table} "


class TableRow(NamedTuple):
    """A row as far as it is told. `wall`: `eventtime` in microseconds of the PBX's clock; None: it cannot be read."""

    id: int
    uniqueid: str
    linkedid: str
    eventtime: str
    wall: int | None


class CelTable(TableConnection):
    """The table of one PBX. Use in `with`; every method raises UserError where it cannot be read.

    Entering it raises UserError, too, where the table's primary key is not its id: rows could not be read in order, nor
    told apart, nor backfilled.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.database)
        engine = self._engine = ENGINES[settings.database.engine]
        column = RowDecoder(settings.database.column_name_aliases, settings.pbx.name).column
        self._id_column = column("id")
        self._names = {name: engine.quote(column(name)) for name in ("id", "uniqueid", "linkedid", "eventtime")}
        self._table = engine.quote(settings.database.table)

    def check(self) -> None:
        """See TableConnection: the table must be there, with its id alone as primary key."""
        self._select("SELECT MAX({id}) FROM {table}")  # one that is not there, or may not be read, is told as such
        self._check_primary_key()

    def highest_id(self) -> int:
        """0 where the table is empty."""
        (row,) = self._select("SELECT MAX({id}) AS id FROM {table}")
        return int(row["id"] or 0)

    def pages(self, first_id: int, last_id: int) -> Iterator[Sequence[tuple[int, Any]]]:
        """(id, uniqueid) of the rows first_id <= id <= last_id, in the order of ids."""
        last = first_id - 1
        sql = (
            "SELECT {id} AS id, {uniqueid} AS uniqueid FROM {table} WHERE {id} > %s AND {id} <= %s "
            "ORDER BY {id} LIMIT %s"
        )
        while page := self._select(sql, last, last_id, PAGE):
            yield [(row["id"], row["uniqueid"]) for row in page]
            last = page[-1]["id"]
            if len(page) < PAGE:
                return

    def named(self, ids: Sequence[int]) -> Iterator[TableRow]:
        """The rows of these ids, as they are now, in the order of ids."""
        for start in range(0, len(ids), _NAMED):
            some = ids[start : start + _NAMED]
            marks = ", ".join(["%s"] * len(some))
            yield from map(_row, self._select(f"{_ROW}WHERE {{id}} IN ({marks}) ORDER BY {{id}}", *some))

    def last_up_to(self, row_id: int) -> TableRow | None:
        """The row with the highest id that is not above this one."""
        return self._one("WHERE {id} <= %s ORDER BY {id} DESC LIMIT 1", row_id)

    def first_from(self, row_id: int) -> TableRow | None:
        """The row with the lowest id that is not below this one."""
        return self._one("WHERE {id} >= %s ORDER BY {id} LIMIT 1", row_id)

    def first_id_since(self, wall: int) -> int:
        """See sources.table_connection."""

        def from_id(row_id: int) -> tuple[int, int | None] | None:
            row = self.first_from(row_id)
            return row and (row.id, row.wall)

        return first_id_since(self.highest_id(), from_id, wall)

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
        rows = self._select(_ROW + rest, *values)
        return _row(rows[0]) if rows else None

    def _check_primary_key(self) -> None:
        found = self.run(*self._engine.primary_key(self.database))
        key = [str(row["name"]) for row in found]
        if [name.lower() for name in key] != [self._id_column.lower()]:
            has = f"has the primary key ({', '.join(key)})" if key else "has no primary key"
            raise UserError(
                f"table {self.place} {has}, where {self._id_column} alone must be it: its rows cannot be compared",
                f"Rows could not be told apart, nor backfilled: give it a primary key on {self._id_column}.",
            )

    def _select(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return self.run(sql.format(table=self._table, **self._names), values)


def _row(row: dict[str, Any]) -> TableRow:
    texts = {name: _text(row[name]) for name in ("uniqueid", "linkedid", "eventtime")}
    return TableRow(int(row["id"]), wall=wall_micros(texts["eventtime"]), **texts)


def _text(value: Any) -> str:
    return "" if value is None else str(plain(value))
