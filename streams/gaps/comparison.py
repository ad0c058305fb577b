"""Table, topic and results compared: what `cel2crm gaps` and, in small, `connectors watch` call."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from connectors.apply import connect_client
from connectors.capture_progress import CaptureProgress
from connectors.engines import engine_of
from connectors.row_mark import row_mark
from streams.clock import MICROS_PER_SECOND
from streams.gaps.captured import (
    Candidates,
    first_look,
    known_horizon,
    second_look,
    settle,
)
from streams.gaps.findings import MOST_NAMED, CallGap, Findings
from streams.gaps.results import ResultSide, Suspects
from streams.gaps.table import CelTable
from streams.gaps.taken import Taken, taken_by_worker
from streams.gaps.topic import CelTopic, TopicRows
from streams.operations import connection as operations
from streams.operations.backfill import is_plain
from streams.operations.connection import Connection
from streams.settings import Settings
from streams.sources.window import EARLIER, Bound

_HOUR_MS = 3_600_000
_FURTHEST_EAST_MS = 14 * _HOUR_MS
"""No zone's wall clock is further ahead of UTC."""
_LONGEST_LIMIT_MS = 7 * 24 * _HOUR_MS
_POLL_SECONDS = 0.5

OnProgress = Callable[[str, int, int], None]
"""Told the stage, and how much of how much is done; 0 of 0 where nobody can say."""


@dataclass(frozen=True, slots=True)
class Since:
    """Where a comparison begins."""

    first_id: int = 0
    wall: int | None = None
    """The time of that row, or before (microseconds of the PBX's clock); None: the whole topic is read."""

    @classmethod
    async def of(cls, bound: Bound | None, table: CelTable) -> "Since":
        """Of an option: a row's id, or a time, which is looked for by halving the ids. Raises UserError."""
        if bound is None:
            return cls()
        if bound.row_id is not None:
            row = await asyncio.to_thread(table.first_from, bound.row_id)
            return cls(bound.row_id, row.wall if row else None)
        wall = (bound.wall or 0) - EARLIER
        return cls(await asyncio.to_thread(table.first_id_since, wall), wall)

    def written_since_ms(self, settings: Settings) -> int | None:
        """When the first record was written that is needed, or before (Unix milliseconds).

        Earlier by as long as a call may be open: its last rows are looked at when its result is due.
        """
        if self.wall is None:
            return None
        limit = min(_LONGEST_LIMIT_MS, round(settings.aggregate.time_limit_seconds * 1000))
        zone = settings.timezone_of(settings.pbx.name)
        if zone is None:
            began = self.wall // 1000 - _FURTHEST_EAST_MS
        else:
            local = datetime.fromtimestamp(self.wall / MICROS_PER_SECOND, UTC).replace(tzinfo=ZoneInfo(zone))
            began = round(local.timestamp() * 1000)
        return max(0, began - _HOUR_MS - limit)


@dataclass(slots=True)
class Comparison:
    """Compares for one PBX. Every method raises UserError: no broker, topic, database, Connect."""

    connection: Connection
    table: CelTable
    capture: CaptureProgress
    taken: Taken
    on_progress: OnProgress = lambda _stage, _done, _total: None
    patience_seconds: float = 180.0
    """How long the second look waits for the connector, and for the aggregate worker."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, since: Since) -> Findings:
        """Both directions."""
        began, settings = time.monotonic(), self.connection.settings
        cel = CelTopic(settings, self.connection.topics)
        written_since = since.written_since_ms(settings)
        self.on_progress("looking for the first rows", 0, 0)
        taken, horizon = await self.taken(), await cel.horizon()
        horizon, first_kept = await known_horizon(self.table, horizon)
        last_id = await asyncio.to_thread(self.table.highest_id)
        findings = Findings(settings.pbx.name, max(since.first_id, first_kept), last_id)
        findings.nothing_kept = horizon.overall is None
        rows = await cel.rows(
            await self._believed(cel, taken), written_since, lambda done: self.on_progress("reading the topic", done, 0)
        )
        findings.topic_rows, findings.waiting_rows = rows.count, rows.waiting
        ends = dict(rows.positions)
        results = ResultSide(self.connection, cel, self._believed_now(cel), written_since)
        self.on_progress("reading results", 0, 0)
        suspects = await results.suspects(rows.tallies)
        rows.tallies = {}
        candidates = Candidates()
        if not findings.nothing_kept:
            candidates, findings.table_rows = await first_look(
                self.table,
                findings.first_id,
                last_id,
                rows.index,
                lambda *of: self.on_progress("reading the table", *of),
            )
        first_open = await self._settle_rows(findings, cel, rows, candidates, in_part=written_since is not None)
        await self._settle_calls(findings, cel, results, suspects, ends)
        await asyncio.to_thread(self._note_reach, findings, first_open)
        findings.seconds = time.monotonic() - began
        return findings

    async def _settle_rows(
        self, findings: Findings, cel: CelTopic, rows: TopicRows, candidates: Candidates, *, in_part: bool
    ) -> int:
        """The second look at rows: what is missing goes to the findings. The first id that is not as it should be.

        `in_part`: of the topic, the records before some time were not read yet.
        """
        passed = True
        if candidates:
            self.on_progress("waiting until the connector has passed rows that are not on the topic yet", 0, 0)
            candidates, passed = await second_look(
                cel, rows, candidates, self.capture, patience_seconds=self.patience_seconds, sleep=self.sleep
            )
        if candidates and in_part:  # a clock that is wrong by many hours may have led to the wrong part
            await cel.read_on(rows, whole=True)
            candidates = candidates.still_missing(rows.index)
        first_open = findings.last_id + 1
        if candidates:
            # Asked anew: retention may have removed more since the first look.
            horizon, _ = await known_horizon(self.table, await cel.horizon())
            side = await settle(self.table, horizon, await cel.partitions(), candidates, passed=passed)
            findings.before, findings.unsettled = side.before, side.unsettled
            findings.missing_rows, findings.missing_calls = side.missing.rows, side.missing.calls
            findings.stretches = side.missing.few()
            first_open = side.first_open or first_open
            await asyncio.to_thread(self._widen, findings)
        return first_open

    def _note_reach(self, findings: Findings, first_open: int) -> None:
        """Note the last row up to which nothing is missing, and every call has its result."""
        in_table = [call.first_id for call in findings.calls if call.linkedid not in findings.purged]
        last = self.table.last_up_to(min([first_open, *in_table]) - 1)
        if last is not None and not findings.nothing_kept:
            findings.compared_to = row_mark(last.id, last.uniqueid, last.eventtime)

    def _widen(self, findings: Findings) -> None:
        """Where a command names ids: from where these calls begin."""
        for stretch in findings.stretches:
            if len(stretch.calls) > MOST_NAMED:
                stretch.begins_at = self.table.first_id_of_calls(stretch.first_id, stretch.last_id)

    async def _settle_calls(
        self, findings: Findings, cel: CelTopic, results: ResultSide, suspects: Suspects, ends: Mapping[int, int]
    ) -> None:
        """Both looks at calls that no result shows."""
        if not suspects:
            return
        self.on_progress("looking at calls without a result", 0, 0)
        calls = await results.not_accounted_for(suspects)
        if calls:
            hashes = {hash(call.linkedid) for call in calls}
            suspects = {partition: each & hashes for partition, each in suspects.items() if each & hashes}
            self.on_progress("waiting until the aggregate worker has taken what stood on the topic", 0, 0)
            await self._until_taken(cel, {partition: ends.get(partition, 0) for partition in suspects})
            calls = await results.not_accounted_for(suspects)
        findings.calls = sorted(calls, key=lambda call: call.first_id)
        if calls:
            await asyncio.to_thread(self._look_up, findings, calls)

    def _look_up(self, findings: Findings, calls: list[CallGap]) -> None:
        """Which of the calls the table holds, and from where on."""
        present = self.table.present_calls([call.linkedid for call in calls])
        findings.purged = frozenset(call.linkedid for call in calls) - present
        plain = [call for call in calls if call.linkedid in present and is_plain(call.linkedid)]
        if len(plain) > MOST_NAMED:
            first, last = min(call.first_id for call in plain), max(call.last_id for call in plain)
            findings.calls_begin_at = self.table.first_id_of_calls(first, last)

    async def _until_taken(self, cel: CelTopic, ends: Mapping[int, int]) -> None:
        """Wait until the worker has taken what stood there; not for a worker that does not work."""
        waited = 0.0
        while waited < self.patience_seconds:
            taken = await self._believed(cel, await self.taken())
            if all(taken.get(partition, 0) >= end for partition, end in ends.items()):
                return
            await self.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS

    def _believed_now(self, cel: CelTopic) -> Taken:
        async def ask() -> Mapping[int, int]:
            return await self._believed(cel, await self.taken())

        return ask

    async def _believed(self, cel: CelTopic, taken: Mapping[int, int]) -> Mapping[int, int]:
        """Without offsets that are of an earlier topic of this name: they lie behind its end."""
        ends = await cel.ends()
        return {partition: offset for partition, offset in taken.items() if offset <= ends.get(partition, 0)}


@asynccontextmanager
async def open_comparison(settings: Settings) -> AsyncIterator[Comparison]:
    """Everything that a comparison asks.

    Raises UserError: no broker, no database, a table without a primary key.
    """
    async with connect_client(settings) as connect, operations.connect(settings) as connection:
        capture = engine_of(settings).progress(settings, connect)
        table = await asyncio.to_thread(CelTable(settings).__enter__)
        try:
            yield Comparison(connection, table, capture, taken_by_worker(settings))
        finally:
            table.__exit__(*sys.exc_info())
