"""A table, a capture and a worker in memory, for comparisons without servers."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from streams.gaps.comparison import Comparison, Since
from streams.gaps.findings import Findings
from streams.gaps.table import CelTable, TableRow
from streams.kafka.topic_client import Outgoing
from streams.operations.connection import Connection
from streams.rows.eventtime import wall_micros
from streams.settings import Settings
from streams.topics import CEL
from tests.crm.calls import call_result
from tests.operations.memory import PARTITIONS, MemoryRegistry, Operator

SECOND = 1_764_000_000


class Row(NamedTuple):
    """A row of the table; `at`: seconds of the PBX's clock after the first one."""

    id: int
    call: int = 0
    at: int = 0
    uniqueid: str = ""

    @property
    def linkedid(self) -> str:
        return f"{SECOND}.{self.call}"

    @property
    def eventtime(self) -> str:
        hours, seconds = divmod(self.at, 3600)
        return f"2025-11-{24 + hours // 24:02} {hours % 24:02}:{seconds // 60:02}:{seconds % 60:02}"

    def on_topic(self, **fields: Any) -> dict[str, Any]:
        return {
            "id": self.id, "eventtype": "CHAN_START", "eventtime": self.eventtime.replace(" ", "T"),
            "uniqueid": self.uniqueid or self.linkedid, "linkedid": self.linkedid, "__op": "c",
            "__source_ts_ms": (SECOND + self.at) * 1000, "__source_name": "pbx1", **fields,
        }  # fmt: skip


class MemoryTable(CelTable):
    """A table of rows in memory."""

    def __init__(self, settings: Settings, rows: Iterable[Row] = ()) -> None:
        super().__init__(settings)
        self.rows = sorted(rows)
        self.looked_up = 0
        """How often a single row was looked for."""

    def highest_id(self) -> int:
        return max((row.id for row in self.rows), default=0)

    def pages(self, first_id: int, last_id: int) -> Iterator[Sequence[tuple[int, Any]]]:
        found = [(row.id, row.uniqueid or row.linkedid) for row in self.rows if first_id <= row.id <= last_id]
        for start in range(0, len(found), 3):
            yield found[start : start + 3]

    def named(self, ids: Sequence[int]) -> Iterator[TableRow]:
        wanted = set(ids)
        return (_told(row) for row in list(self.rows) if row.id in wanted)

    def last_up_to(self, row_id: int) -> TableRow | None:
        return next((_told(row) for row in reversed(self.rows) if row.id <= row_id), None)

    def first_from(self, row_id: int) -> TableRow | None:
        self.looked_up += 1
        return next((_told(row) for row in self.rows if row.id >= row_id), None)

    def first_id_of_calls(self, first_id: int, last_id: int) -> int:
        calls = {row.call for row in self.rows if first_id <= row.id <= last_id}
        return min((row.id for row in self.rows if row.call in calls), default=first_id)

    def present_calls(self, linkedids: Any) -> set[str]:
        return {row.linkedid for row in self.rows} & set(linkedids)


def _told(row: Row) -> TableRow:
    return TableRow(row.id, row.uniqueid or row.linkedid, row.linkedid, row.eventtime, wall_micros(row.eventtime))


@dataclass
class MemoryCapture:
    """A connector that has passed everything, or what `arriving` brings with each question first."""

    arriving: list[list[Row]] = field(default_factory=list)
    stands_still: bool = False
    works: bool = True
    world: "World | None" = None

    async def clock_ms(self) -> int:
        return 0

    async def mark(self) -> str:
        return "here"

    async def running(self) -> bool:
        return self.works

    async def passed(self, mark: str) -> bool:
        assert mark == "here"
        if self.arriving and self.world:
            self.world.capture(self.arriving.pop(0))
        return not self.stands_still and not self.arriving


class World:
    """An installation in memory: rows in the table, on the topic, in results."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.operator = Operator(self.settings)
        self.topics = self.operator.topics
        self.table = MemoryTable(self.settings)
        self.progress = MemoryCapture(world=self)
        self.cel = self.settings.kafka.topic(CEL)
        self.taken_until: dict[int, int] | None = None
        """By partition; None: the worker has taken everything."""
        self.slept = 0.0

    def write(self, rows: Iterable[Row]) -> None:
        """Rows into the table."""
        self.table.rows = sorted([*self.table.rows, *rows])

    def capture(self, rows: Iterable[Row], **fields: Any) -> None:
        """Rows onto the topic."""
        for row in rows:
            self.topics.put(Outgoing(self.cel, row.linkedid.encode(), orjson.dumps(row.on_topic(**fields))))

    def show(self, rows: Iterable[Row]) -> None:
        """A result for each call of these rows, that holds all of them."""
        ids: dict[str, set[int]] = {}
        for row in rows:
            ids.setdefault(row.linkedid, set()).add(row.id)
        for linkedid, each in ids.items():
            result = call_result(
                call_id=f"pbx1/{linkedid}", linkedid=linkedid, version_row_id=max(each), version_rows=len(each)
            )
            self.operator.result(result)

    async def taken(self) -> Mapping[int, int]:
        return await self.topics.ends(self.cel) if self.taken_until is None else self.taken_until

    def comparison(self) -> Comparison:
        registry = MemoryRegistry(self.settings)
        connection = Connection(self.settings, self.topics, registry.reader(["call_result", "dead_letter"]))

        async def sleep(seconds: float) -> None:
            self.slept += seconds

        return Comparison(connection, self.table, self.progress, self.taken, sleep=sleep)

    async def compare(self, since: Since | None = None, patience: float = 5.0) -> Findings:
        comparison = self.comparison()
        comparison.patience_seconds = patience
        return await comparison.run(since or Since())

    @asynccontextmanager
    async def open_comparison(self, _: Settings) -> AsyncIterator[Comparison]:
        """In the place of streams.gaps.comparison.open_comparison."""
        yield self.comparison()


__all__ = ["PARTITIONS", "SECOND", "MemoryCapture", "MemoryTable", "Row", "World"]
