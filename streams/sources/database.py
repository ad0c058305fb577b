"""CEL rows from the PBX's database: plain SELECTs in the order of ids, never a write or a lock that Asterisk feels.

Rows come in pages (`where id > last order by id limit n`), not through one long cursor: on a MyISAM table, FreePBX's
old default, a result that is fetched slowly keeps Asterisk's inserts waiting all the while. A page takes milliseconds.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.columns import column_refusals
from streams.errors import UnreadableRow, UserError
from streams.rows.eventtime import wall_micros
from streams.rows.row import COLUMNS, CapturedRow, RowDecoder
from streams.rows.unreadable import UnreadableLine
from streams.sources.engines import ENGINES
from streams.sources.table_connection import TableConnection, first_id_since, plain

PAGE = 5_000
"""Rows read at once."""


@dataclass(slots=True)
class DatabaseRows(TableConnection):
    """The cel table of one PBX. Use in `with`; every method raises UserError where it cannot be read."""

    decoder: RowDecoder
    page: int = PAGE
    on_unreadable: Callable[[UnreadableLine], None] = field(default=lambda _row: None)
    """Called for each row that is passed over: a column is empty that must not be."""
    on_progress: Callable[[int], None] = field(default=lambda _ids: None)
    """Called after each page of `rows` with the ids left behind."""
    _columns: dict[str, str] = field(default_factory=dict)
    """As the settings spell a column: as the table does."""

    @property
    def name(self) -> str:
        return f"{self.database.engine} {self.place}"

    def check(self) -> None:
        """See TableConnection: the table must be there, with the columns that the product needs."""
        self._columns = self._known_columns()

    def rows(self, first_id: int = 0) -> Iterator[CapturedRow]:
        """Every row from this id on, in the order of ids, in constant memory."""
        last = max(first_id, 0) - 1
        id_column = self._quoted("id")
        while True:
            page = self._select(f"WHERE {id_column} > %s ORDER BY {id_column} LIMIT {self.page}", [last])
            yield from self._decoded(page)
            if len(page) < self.page:
                return
            before, last = last, int(page[-1][self.decoder.column("id")])
            self.on_progress(last - before)

    def matching(self, linkedids: Collection[str], uniqueids: Collection[str]) -> list[CapturedRow]:
        """Every row with one of these linkedids, or of one of these channels, in the order of ids."""
        found: dict[int, CapturedRow] = {}
        # Two SELECTs, each along its index; one with OR would read the whole table on some servers.
        for column, values in (("linkedid", sorted(linkedids)), ("uniqueid", sorted(uniqueids))):
            if values:
                marks = ", ".join(["%s"] * len(values))
                for row in self._decoded(self._select(f"WHERE {self._quoted(column)} IN ({marks})", values)):
                    found[row.id] = row
        return [found[row_id] for row_id in sorted(found)]

    def first_id_since(self, wall: int) -> int:
        """See `first_id_since`."""
        return first_id_since(self.highest_id(), self._first_from, wall)

    def highest_id(self) -> int:
        """0 where the table is empty."""
        rows = self._select(f"ORDER BY {self._quoted('id')} DESC LIMIT 1", [])
        return int(rows[0][self.decoder.column("id")]) if rows else 0

    def _first_from(self, row_id: int) -> tuple[int, int | None] | None:
        """Id and time of the first row from this id on."""
        column, name = self._quoted("id"), self.decoder.column
        rows = self._select(f"WHERE {column} >= %s ORDER BY {column} LIMIT 1", [row_id])
        return (int(rows[0][name("id")]), wall_micros(plain(rows[0][name("eventtime")]))) if rows else None

    def _known_columns(self) -> dict[str, str]:
        """The columns that the product reads and this table has."""
        at = self.database
        schema, _, table = at.table.rpartition(".")
        conditions, values = ["table_name = %s"], [table]
        if schema or at.engine != "postgresql":
            conditions.append("table_schema = %s")
            values.append(schema or at.name)
        found = self.run(
            f"SELECT column_name AS name FROM information_schema.columns WHERE {' AND '.join(conditions)}",  # noqa: S608
            values,
        )
        present = {str(row["name"]).lower(): str(row["name"]) for row in found}
        if not present:
            raise UserError(
                f"there is no table {at.name}.{at.table} at {at.host}:{at.port}, or user {at.user} may not read it",
                "Check database.name and database.table (in a URL: /name?table=cel).",
            )
        if refusals := column_refusals(present, at):
            raise UserError(f"{self.name} cannot be read:\n" + "\n".join(f"  {line}" for line in refusals))
        wanted = dict.fromkeys(self.decoder.column(name) for name in COLUMNS)
        return {name: present[name.lower()] for name in wanted if name.lower() in present}

    def _select(self, rest: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        quote = ENGINES[self.database.engine].quote
        columns = ", ".join(f"{quote(theirs)} AS {quote(ours)}" for ours, theirs in self._columns.items())
        return self.run(f"SELECT {columns} FROM {quote(self.database.table)} {rest}", values)  # noqa: S608

    def _decoded(self, rows: list[dict[str, Any]]) -> Iterator[CapturedRow]:
        for row in rows:
            try:
                yield self.decoder.from_columns({name: plain(value) for name, value in row.items()})
            except UnreadableRow as error:
                row_id, linkedid = (row.get(self.decoder.column(name)) for name in ("id", "linkedid"))
                named = (linkedid,) if isinstance(linkedid, str) and linkedid else ()
                number = row_id if isinstance(row_id, int) else 0
                self.on_unreadable(UnreadableLine(self.name, number, str(error), named, is_id=True))

    def _quoted(self, column: str) -> str:
        return ENGINES[self.database.engine].quote(self._columns[self.decoder.column(column)])
