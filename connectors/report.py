"""The state of a capture in words: `cel2crm connectors status`."""

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from connectors.apply import Capture
from connectors.capture_state import Hold
from connectors.client import STOPPED, ConnectorStatus, describe_status
from connectors.fault import Fault
from connectors.gap_memory import GapOutcome, read_gap_outcome
from connectors.guard import Verdict
from streams.clock import format_time
from streams.errors import UserError

SILENCE_SECONDS = 60.0
"""Without a heartbeat for so long the connector does not follow the database: one comes every few seconds."""


_MOST_REMEDIES = 3


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """The state of a capture, to be told. `connector` None: not applied, or deleted."""

    name: str
    connector: ConnectorStatus | None
    seconds_since_heartbeat: float | None
    verdict: Verdict | None
    """None: the database cannot be compared."""
    faults: tuple[Fault, ...]
    gaps: GapOutcome | None = None
    """What the last comparison for gaps found; None: nothing is remembered."""

    @property
    def healthy(self) -> bool:
        """Whether rows are captured, and none may be missing."""
        return not self.faults

    def lines(self) -> list[str]:
        """For a person: the connector, then the faults, then what is remembered of the database."""
        beat = self.seconds_since_heartbeat
        told = "no heartbeat yet" if beat is None else f"last heartbeat {beat:.0f} s ago"
        first = f"connector {self.name}: not there" if self.connector is None else describe_status(self.connector)
        faults = [line for fault in self.faults for line in fault.lines()]
        return [f"{first}, {told}", *faults, *self._database_lines(), *self._gap_lines()]

    def _database_lines(self) -> list[str]:
        if self.verdict is None:
            return []
        known, row = self.verdict.state.database, self.verdict.state.database.last_row
        lines = [f"  database: {known.told}, highest id {row.id if row else 0}"]
        if last := self.verdict.state.captured:
            lines.append(f"  last captured row: {last.id} of {last.eventtime}")
        return [*lines, *(f"  {line}" for line in (*self.verdict.details, *self.verdict.remarks))]

    def _gap_lines(self) -> list[str]:
        found = self.gaps
        if found is None:
            return ["  gaps: nothing is remembered of a comparison: connectors watch compares, or: cel2crm gaps"]
        when = format_time(found.compared_at_ms * 1000)
        if found.problem:
            return [f"  gaps: not compared at {when}: {found.problem}"]
        last = found.compared_to
        told = "see above" if found.found else f"none up to row {last.id} of {last.eventtime}" if last else "none"
        return [f"  gaps: {told}, compared at {when}"]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "running": self.connector is not None and self.connector.running,
            "healthy": self.healthy,
            "seconds_since_heartbeat": self.seconds_since_heartbeat,
            **(msgspec.to_builtins(self.connector) if self.connector else {"name": self.name, "state": "MISSING"}),
            "faults": msgspec.to_builtins(self.faults),
            "hold": msgspec.to_builtins(self.verdict.hold) if self.verdict else None,
            "database": msgspec.to_builtins(self.verdict.state.database) if self.verdict else None,
            "captured": msgspec.to_builtins(self.verdict.state.captured) if self.verdict else None,
            "details": list(self.verdict.details) if self.verdict else [],
            "remarks": list(self.verdict.remarks) if self.verdict else [],
            "gaps": msgspec.to_builtins(self.gaps) if self.gaps else None,
        }


async def report(capture: Capture) -> CaptureReport:
    """Look at connector, heartbeats, memory and database; changes nothing. Raises UserError: no broker, no Connect."""
    status = await capture.connect.status(capture.name)
    last = await capture.heartbeats.last()
    beat = None if last is None else round(max(0.0, time.time() - last), 1)
    faults: list[Fault] = []
    verdict = None
    try:
        verdict = await capture.guard.look()
    except UserError as error:
        faults.append(Fault(f"the database cannot be compared with what is remembered: {error.problem}", error.remedy))
    else:
        if verdict.hold:
            faults.append(hold_fault(verdict.hold))
        faults += verdict.warnings
    gaps = await _last_comparison(capture)
    if gaps is not None and gaps.found:
        faults.append(gap_fault(gaps))
    is_held = verdict is not None and verdict.hold is not None
    return CaptureReport(
        capture.name, status, beat, verdict, (*connector_faults(status, beat, held=is_held), *faults), gaps
    )


async def _last_comparison(capture: Capture) -> GapOutcome | None:
    try:
        return await read_gap_outcome(capture.settings, capture.topics)
    except UserError:  # a memory that cannot be read is told of the guard's, which stands on the same topic
        return None


def gap_fault(gaps: GapOutcome) -> Fault:
    """What the last comparison found missing."""
    return Fault(gaps.told, gaps.remedy(_MOST_REMEDIES))


def hold_fault(hold: Hold) -> Fault:
    """A capture that waits for a person."""
    return Fault(f"capture is held: {hold.reason}. {hold.missing}", hold.remedy)


def connector_faults(status: ConnectorStatus | None, beat: float | None, *, held: bool) -> list[Fault]:
    """Why nothing is captured, as far as connector and heartbeats show. One that is held is stopped for it."""
    if status is None:
        return [Fault("not applied yet, or deleted: nothing is captured", "Run: cel2crm connectors apply")]
    if status.failures:
        return [Fault(failure.reason, failure.remedy or "See the log of Kafka Connect.") for failure in status.failures]
    if held and status.state == STOPPED:
        return []
    if not status.running:
        return [Fault(f"it is {status.state}: nothing is captured", "Run: cel2crm connectors apply")]
    return silence_faults(beat)


def silence_faults(beat: float | None) -> list[Fault]:
    """Why nothing is captured, as far as the heartbeat shows; `beat`: seconds since the last one."""
    if beat is not None and beat <= SILENCE_SECONDS:
        return []
    told = "no sign of life from the database yet" if beat is None else f"no sign of life for {beat:.0f} s"
    return [Fault(told, "cel2crm connectors watch restarts it; see the log of Kafka Connect.")]
