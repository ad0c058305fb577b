"""The comparison that `connectors watch` makes: the recent part, and what was missing at the last one."""

import asyncio

from connectors.gap_memory import GapOutcome, read_gap_outcome, write_gap_outcome
from streams.clock import MICROS_PER_SECOND
from streams.gaps.comparison import Since, open_comparison
from streams.gaps.outcome import outcome_of
from streams.gaps.table import CelTable
from streams.operations import connection as operations
from streams.rows.eventtime import wall_micros
from streams.settings import Settings

RECENT_IDS = 200_000
"""Where nothing is remembered: so many of the last ids."""
OVERLAP = 15 * 60 * MICROS_PER_SECOND
"""Rows are looked at again for so long (microseconds): one that commits late has a low id."""


class SmallComparison:
    """See connectors.gap_watch.GapCheck. Connections of its own each time: the watcher's read for itself meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def last(self) -> GapOutcome | None:
        """The outcome that is remembered."""
        async with operations.connect(self._settings) as connection:
            return await read_gap_outcome(self._settings, connection.topics)

    async def compare(self, last: GapOutcome | None) -> GapOutcome:
        """Compare from where the last one found nothing missing. Raises UserError."""
        async with open_comparison(self._settings) as comparison:
            since = await asyncio.to_thread(_since, comparison.table, last)
            return outcome_of(await comparison.run(since))

    async def remember(self, outcome: GapOutcome) -> None:
        """Remember an outcome."""
        async with operations.connect(self._settings) as connection:
            await write_gap_outcome(self._settings, connection.topics, outcome)


def _since(table: CelTable, last: GapOutcome | None) -> Since:
    mark = last.compared_to if last else None
    wall = wall_micros(mark.eventtime) if mark else None
    # By time, for ids start again after a TRUNCATE.
    first_id = max(0, table.highest_id() - RECENT_IDS) if wall is None else table.first_id_since(wall - OVERLAP)
    row = table.first_from(first_id)
    return Since(first_id, row.wall if row else wall)
