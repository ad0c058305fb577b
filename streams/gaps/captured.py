"""The table against the topic: rows that never reached it.

The first look reads the table against the topic as it was read before. Most of what it misses is under way: so the
second look reads the topic on, until every row is there, or the connector has passed the place where the database
stood at the first one. Only then, and if it is still in the table, a row is missing.
"""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from connectors.capture_progress import CaptureProgress
from streams.gaps.findings import Stretches
from streams.gaps.horizon import Horizon
from streams.gaps.row_index import RowIndex, channel_hash
from streams.gaps.table import CelTable, TableRow
from streams.gaps.topic import CelTopic, TopicRows
from streams.kafka.topic_client import partition_of
from streams.sources.window import EARLIER

POLL_SECONDS = 0.5
STANDSTILL_SECONDS = 30.0
"""A connector that does not run for so long is not waited for: Kafka Connect itself may just be starting."""

OnRows = Callable[[int, int], None]
"""Told ids that were read, of how many."""


@dataclass(slots=True)
class Candidates:
    """Rows of the table that are not on the topic so far: 16 bytes each."""

    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    channels: "array[int]" = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row_id: int, channel: int) -> None:
        """Add a row, in the order of ids."""
        self.ids.append(row_id)
        self.channels.append(channel)

    def still_missing(self, index: RowIndex) -> "Candidates":
        """Those that the index has not got by now."""
        left = Candidates()
        for row_id, channel in zip(self.ids, self.channels, strict=True):
            if not index.has(row_id, channel):
                left.add(row_id, channel)
        return left


@dataclass(slots=True)
class CapturedSide:
    """The outcome of both looks."""

    missing: Stretches = field(default_factory=Stretches)
    unsettled: int = 0
    """Rows that are not on the topic, while the connector has not come so far that they should be."""
    before: int = 0
    """Rows that are not on the topic and from before what it still holds: nobody can say."""
    first_open: int | None = None
    """The first id that is missing or unsettled."""


async def known_horizon(table: CelTable, horizon: Horizon) -> tuple[Horizon, int]:
    """The horizon with which of its rows are in the table still, and the first id to be compared."""

    def ask() -> tuple[Horizon, int]:
        held = {row.id: row for row in table.named(sorted(first.row_id for first in horizon.rows))}
        in_table = frozenset(
            first
            for first in horizon.rows
            if first.row_id in held
            and channel_hash(held[first.row_id].uniqueid or held[first.row_id].linkedid) == channel_hash(first.uniqueid)
        )
        begins = [
            first.row_id
            if first in in_table or first.wall is None
            else min(first.row_id, table.first_id_since(first.wall - EARLIER))
            for first in horizon.rows
        ]
        return replace(horizon, in_table=in_table), min(begins, default=0)

    return await asyncio.to_thread(ask)


async def first_look(
    table: CelTable, first_id: int, last_id: int, index: RowIndex, on_rows: OnRows
) -> tuple[Candidates, int]:
    """The rows of the table that the index has not got, and how many were read."""
    candidates, count, pages = Candidates(), 0, table.pages(first_id, last_id)
    while (page := await asyncio.to_thread(next, pages, None)) is not None:
        for row_id, uniqueid in page:
            channel = channel_hash(uniqueid)
            if not index.has(row_id, channel):
                candidates.add(row_id, channel)
        count += len(page)
        on_rows(page[-1][0] - first_id + 1, last_id - first_id + 1)
    return candidates, count


async def second_look(
    cel: CelTopic,
    rows: TopicRows,
    candidates: Candidates,
    capture: CaptureProgress,
    *,
    patience_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Candidates, bool]:
    """The candidates that are missing still, and whether the connector has passed them."""
    mark, waited, standing = await capture.mark(), 0.0, 0.0
    while candidates:
        passed = await capture.passed(mark)  # before the topic is read on: what it has written is there then
        await cel.read_on(rows)
        candidates = candidates.still_missing(rows.index)
        if passed or waited >= patience_seconds or standing >= STANDSTILL_SECONDS:
            return candidates, passed
        if candidates:
            await sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            standing = 0.0 if await capture.running() else standing + POLL_SECONDS
    return candidates, True


async def settle(
    table: CelTable, horizon: Horizon, partitions: int, candidates: Candidates, *, passed: bool
) -> CapturedSide:
    """The candidates that are gaps: still in the table as they were, and from the topic's first kept row on."""

    def ask() -> CapturedSide:
        side = CapturedSide()
        for row in _unchanged(table, candidates):
            if not horizon.expects(row.id, row.wall, partition_of(row.linkedid.encode(), partitions)):
                side.before += 1
                continue
            side.first_open = row.id if side.first_open is None else side.first_open
            if passed:
                side.missing.add(row.id, row.linkedid)
            else:
                side.unsettled += 1
        return side

    return await asyncio.to_thread(ask)


def _unchanged(table: CelTable, candidates: Candidates) -> Iterator[TableRow]:
    channels = iter(zip(candidates.ids, candidates.channels, strict=True))
    for row in table.named(candidates.ids):
        while (known := next(channels))[0] != row.id:  # deleted meanwhile
            pass
        if known[1] == channel_hash(row.uniqueid):
            yield row
