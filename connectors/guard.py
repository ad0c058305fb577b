"""The guard of a capture: looks at the database before capture goes on and while it runs, and holds it where rows
may be missing, until a person decides."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from connectors.assessment import Assessment
from connectors.capture_state import FROM_THE_FIRST_ROW, AnyState, CaptureStateStore, Hold
from connectors.captured_rows import CapturedRows
from connectors.client import ConnectClient
from connectors.engines import engine_of
from connectors.failures import Failure
from connectors.fault import Fault
from connectors.row_mark import RowMark
from streams.clock import MICROS_PER_SECOND, UtcMillis, utc_now_ms
from streams.errors import UserError
from streams.kafka.topic_client import Topics
from streams.rows.eventtime import wall_micros
from streams.settings import Settings

TRIES = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a look. `hold` None: capture may go on."""

    hold: Hold | None
    state: AnyState
    """The memory as it is now; after `look`, as `check` would store it."""
    remarks: tuple[str, ...] = ()
    warnings: tuple[Fault, ...] = ()
    details: tuple[str, ...] = ()
    """Further lines for `connectors status`."""


class CaptureGuard:
    """Guards the capture of the settings' PBX. Every method raises UserError where it cannot look or remember."""

    def __init__(
        self,
        settings: Settings,
        connect: ConnectClient,
        topics: Topics,
        captured: CapturedRows | None = None,
        now_ms: Callable[[], UtcMillis] = utc_now_ms,
    ) -> None:
        """`captured`: shared with the guards of other PBXs; None: its own."""
        self._settings = settings
        self._connect = connect
        self._topics = topics
        self._captured = captured or CapturedRows(settings)
        self._now_ms = now_ms
        self._engine = engine_of(settings)
        self.store = CaptureStateStore(settings, topics, self._engine.state_type)

    async def look(self) -> Verdict:
        """Compare, and change nothing."""
        state = await self.store.read()
        if state is not None and state.hold is not None:
            return Verdict(state.hold, state)
        assessment = await self._assess(state)
        return self._verdict(assessment)

    async def check(self, *, hold: bool = True) -> Verdict:
        """Compare, and remember the outcome: where capture stands, or (`hold`) that it is held."""
        for _ in range(TRIES):
            state = await self.store.read()
            if state is not None and state.hold is not None:
                return Verdict(state.hold, state)
            assessment = await self._assess(state)
            verdict = self._verdict(assessment)
            if verdict.hold and not hold:
                return verdict
            new = msgspec.structs.replace(assessment.state, hold=verdict.hold)
            if new == state or await self.store.change(state, new):
                return verdict
        raise UserError("what is remembered of the database is being changed by another process", "Try again.")

    async def hold_for(self, failure: Failure) -> Hold:
        """Hold the capture for a failure after which rows are missing."""
        for _ in range(TRIES):
            state = await self.store.read()
            if state is not None and state.hold is not None:
                return state.hold
            # The database itself may be what fails: then only what is remembered tells since when.
            known = state or (await self._assess(None)).state
            hold = self._hold(failure.reason, known)
            if await self.store.change(state, msgspec.structs.replace(known, hold=hold)):
                return hold
        raise UserError("what is remembered of the database is being changed by another process", "Try again.")

    async def current_hold(self) -> Hold | None:
        """The hold that stands in the memory now."""
        state = await self.store.read()
        return None if state is None else state.hold

    async def begin_afresh(self) -> Hold:
        """Hold the capture while it is started afresh, whatever is remembered."""
        try:
            state = await self.store.read()
        except UserError:  # unreadable: overwritten
            state = None
        known = state or (await self._assess(None)).state
        old = known.hold or self._hold("the capture is being started afresh", known)
        hold = msgspec.structs.replace(old, starting_afresh=True)
        await self.store.overwrite(msgspec.structs.replace(known, hold=hold))
        return hold

    async def accept(self) -> None:
        """Remember the database, and where the connector began, as they are now; a hold ends."""
        await self.store.overwrite((await self._assess(None)).state)

    def _verdict(self, assessment: Assessment) -> Verdict:
        hold = self._hold(assessment.interruption, assessment.state) if assessment.interruption else None
        return Verdict(hold, assessment.state, assessment.remarks, assessment.warnings, assessment.details)

    def _hold(self, reason: str, state: AnyState) -> Hold:
        return Hold(reason, backfill_since(state, self._settings.aggregate.time_limit_seconds), self._now_ms())

    async def _assess(self, state: AnyState | None) -> Assessment:
        captured = await self._captured.last(self._settings.pbx.name, self._topics)
        return await self._engine.assess(self._settings, self._connect, self._topics, state, captured)


def backfill_since(state: AnyState, longest_call_seconds: float) -> str:
    """The value for `cel2crm backfill --since`: so long before the last row known as captured that no call is cut."""
    row: RowMark | None = state.captured or state.database.last_row
    wall = wall_micros(row.eventtime) if row else None
    if wall is None:
        return FROM_THE_FIRST_ROW  # nothing was there when the capture began
    since = datetime.fromtimestamp(wall / MICROS_PER_SECOND - longest_call_seconds, UTC)
    return since.strftime("%Y-%m-%d %H:%M:%S")
