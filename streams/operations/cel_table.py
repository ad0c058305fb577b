"""The PBX's table, read only: its last rows, how many rows calls have in it, and up to which id."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.row_mark import RowMark, row_mark
from streams.calls.call import Call
from streams.clock import MICROS_PER_SECOND
from streams.rows.row import RowDecoder
from streams.settings import Settings
from streams.sources.database import DatabaseRows
from streams.sources.engines import ENGINES
from streams.sources.table_connection import connected
from streams.sources.window import EARLIER, Bound

_COLUMNS = ("id", "uniqueid", "linkedid", "eventtype", "eventtime")
_NAMES = 500
"""Linkedids in one SELECT."""

# Names in braces are quoted by the engine, values are parameters. 14 and 22: streams/rows/event_type.py.
_BEGUN = """
SELECT {linkedid} AS linkedid, COUNT(*) AS n, MAX({id}) AS highest,
       SUM(CASE WHEN CAST({eventtype} AS CHAR(20)) IN ('LINKEDID_END', '14', '22') THEN 1 ELSE 0 END) AS ends
FROM {table} WHERE {linkedid} IN (SELECT {linkedid} FROM {table} WHERE {id} BETWEEN %s AND %s)
GROUP BY {linkedid} HAVING """

_ROW = "SELECT {id} AS id, {uniqueid} AS uniqueid, {eventtime} AS eventtime, {linkedid} AS linkedid FROM {table} "
_LAST = _ROW + "ORDER BY {id} DESC LIMIT 1"
_AFTER = _ROW + "WHERE {id} > %s ORDER BY {id} LIMIT 1"
_COUNTED = "SELECT COUNT(*) AS n FROM (SELECT {id} FROM {table} WHERE {id} > %s LIMIT %s) AS counted"

MOST_COUNTED = 100_000
"""Rows that `rows_after` counts at most."""


@dataclass(frozen=True, slots=True)
class TableCall:
    """A call in the table."""

    linkedid: str
    rows: int
    highest: int
    """Id of the call's last row."""
    ended: bool
    """Whether the rows say that the call is over: then its result comes as soon as they are read."""

    @property
    def version(self) -> tuple[int, int]:
        """The version of the result that is classified from all rows of the call."""
        return self.highest, self.rows


def last_row(settings: Settings) -> RowMark | None:
    """The row with the highest id; None: the table is empty. Raises UserError."""
    return _mark(_select(settings, _LAST, []))


def rows_after(settings: Settings, row_id: int) -> tuple[int, RowMark | None, str]:
    """How many rows have a higher id, MOST_COUNTED at most; the first of them, and its linkedid. Raises UserError."""
    rows = _select(settings, _AFTER, [row_id])
    first = _mark(rows)
    if first is None:
        return 0, None, ""
    (counted,) = _select(settings, _COUNTED, [row_id, MOST_COUNTED])
    return int(counted["n"]), first, str(rows[0]["linkedid"])


def calls_named(settings: Settings, linkedids: Collection[str]) -> list[TableCall]:
    """The calls among these that the table holds. Raises UserError."""
    decoder = RowDecoder(settings.database.column_name_aliases, settings.pbx.name)
    calls: dict[str, Call] = {}
    with DatabaseRows(settings.database, decoder) as table:
        named = sorted(linkedids)
        for start in range(0, len(named), _NAMES):
            for row in table.matching(named[start : start + _NAMES], ()):
                calls.setdefault(row.linkedid, Call(settings.pbx.name, row.linkedid)).add(row)
    return [
        TableCall(name, len(call.rows), call.version[0], call.linkedid_end or call.channels_ended)
        for name, call in calls.items()
    ]


def calls_begun(settings: Settings, since: Bound, until: Bound) -> list[TableCall]:
    """The calls whose first row is at or after `since` and before `until`, whole. Raises UserError."""
    first, last = _ids(settings, since, until)
    conditions = ["MIN({id}) >= %s", "MIN({id}) <= %s"]
    values: list[Any] = [first, last]
    for bound, comparison in ((since, ">="), (until, "<")):
        if bound.wall is not None:
            conditions.append(f"MIN({{eventtime}}) {comparison} %s")
            values.append(_clock(bound.wall))
    sql = _BEGUN + " AND ".join(conditions)
    return [
        TableCall(str(row["linkedid"]), int(row["n"]), int(row["highest"]), bool(row["ends"]))
        for row in _select(settings, sql, [first, last, *values])
        if row["linkedid"]
    ]


def _ids(settings: Settings, since: Bound, until: Bound) -> tuple[int, int]:
    """Ids between which the first rows stand."""
    decoder = RowDecoder(settings.database.column_name_aliases, settings.pbx.name)
    with DatabaseRows(settings.database, decoder) as table:
        first = since.row_id if since.wall is None else table.first_id_since(since.wall - EARLIER)
        last = until.row_id if until.wall is None else table.first_id_since(until.wall + EARLIER) + 1
    return first or 0, (1 << 62 if last is None else last - 1)


def _select(settings: Settings, sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    database = settings.database
    engine = ENGINES[database.engine]
    decoder = RowDecoder(database.column_name_aliases, settings.pbx.name)
    names = {name: engine.quote(decoder.column(name)) for name in _COLUMNS}
    with connected(database) as run:
        return run(sql.format(table=engine.quote(database.table), **names), values)


def _mark(rows: list[dict[str, Any]]) -> RowMark | None:
    return row_mark(int(rows[0]["id"]), str(rows[0]["uniqueid"]), str(rows[0]["eventtime"])) if rows else None


def _clock(wall: int) -> str:
    """Microseconds of the PBX's clock as the table's column is compared with."""
    return datetime.fromtimestamp(wall / MICROS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
