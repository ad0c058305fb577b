"""A call as the report counts it, and the period that is meant. Pure."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from sys import intern

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_DAY, MICROS_PER_SECOND, UtcMicros, local_time
from streams.errors import UserError
from streams.operations.dead_letters import moment
from streams.operations.masking import masked_text

_HOUR = 3600 * MICROS_PER_SECOND
MAX_OFFSET_US = 14 * _HOUR
"""No clock is farther from UTC."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One end of a period: a moment, or a time on the clock of whichever PBX a call is of."""

    micros: UtcMicros
    on_clock: bool
    """`micros` are those that the PBX's clock shows, as if it were in UTC."""

    def reached(self, started_at: UtcMicros, offset_seconds: int) -> bool:
        """Whether a call began then or later."""
        return started_at + (offset_seconds * MICROS_PER_SECOND if self.on_clock else 0) >= self.micros

    def shown(self, offset_seconds: int | None) -> str:
        """The time on the PBX's clock, so much ahead of UTC; None: that is not known, and a moment is told in UTC."""
        told = local_time(self.micros, 0 if self.on_clock else offset_seconds or 0).removesuffix(":00")
        if not self.on_clock and offset_seconds is None:
            return f"{told} UTC"
        return told.removesuffix(" 00:00")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on, and before `until`."""

    since: Edge
    until: Edge

    def holds(self, call: "ReportCall") -> bool:
        """Whether a call began within it."""
        return self.begun(call) and not self.until.reached(call.started_at, call.utc_offset_seconds)

    def begun(self, call: "ReportCall") -> bool:
        """Whether it began within it or afterwards, when it may be the call back of one within."""
        return self.since.reached(call.started_at, call.utc_offset_seconds)

    @property
    def earliest(self) -> UtcMicros:
        """Before which no call within it began."""
        return self.since.micros - (MAX_OFFSET_US if self.since.on_clock else 0)


def period_of(since: str | None, until: str | None, now: UtcMicros, days: int) -> Period:
    """The period that was asked for; without `since` so many days before its end.

    A time that names no zone is one of the PBX's clock. Raises UserError: no time, or no time between the two.
    """
    begin, end = _edge(since, moment(since, "--since")), _edge(until, moment(until, "--until"))
    end = Edge(now, on_clock=False) if end is None else end
    if begin is None:
        begin = Edge(end.micros - days * MICROS_PER_DAY, end.on_clock)
    slack = MAX_OFFSET_US if begin.on_clock != end.on_clock else 0
    if begin.micros - slack >= end.micros:
        raise UserError("--until is not after --since: no call began between them", "Give a later --until.")
    return Period(begin, end)


def _edge(text: str | None, micros: int | None) -> Edge | None:
    if text is None or micros is None:
        return None
    return Edge(micros, on_clock=datetime.fromisoformat(text).tzinfo is None)


@dataclass(frozen=True, slots=True)
class ReportCall:
    """What the report needs of a call: a tenth of its result's memory."""

    call_id: str
    pbx: str
    started_at: UtcMicros
    utc_offset_seconds: int
    direction: str
    outcome: str
    result: int
    cause: int | None
    trunk: str | None
    queue: str | None
    extension: str | None
    client: str | None
    did: str | None
    rang_last: str | None
    wait_seconds: float | None
    """Until a person talked, less what the caller spent in the IVR; None: nobody did, or it is not known when."""
    talk_seconds: float | None
    """None: not answered, or not measurable."""

    @property
    def answered(self) -> bool:
        """Whether a person on the other side talked."""
        return self.outcome == "answered"

    @property
    def missed(self) -> bool:
        """Whether a client called and no person answered, whatever the result."""
        return self.direction == "incoming" and not self.answered

    @property
    def day(self) -> int:
        """The day of the PBX's clock, from 1970."""
        return self._clock // MICROS_PER_DAY

    @property
    def hour(self) -> int:
        """The hour of the PBX's clock, 0 to 23."""
        return self._clock % MICROS_PER_DAY // _HOUR

    @property
    def _clock(self) -> int:
        return self.started_at + self.utc_offset_seconds * MICROS_PER_SECOND


def report_call(result: CallResult, *, mask_numbers: bool = False) -> ReportCall | None:
    """A call as it is counted; None: the piece of another call (`abandoned`), which counts there.

    `mask_numbers`: names that are numbers (a mobile as extension, a trunk named after its line) are told masked; the
    client's own number is not, for calls of one client belong together.
    """
    if result.abandoned:
        return None
    name = _masked if mask_numbers else _shared
    return ReportCall(
        call_id=result.call_id,
        pbx=intern(result.pbx),
        started_at=result.started_at,
        utc_offset_seconds=result.utc_offset_seconds,
        direction=intern(result.direction),
        outcome=intern(result.outcome or ""),
        result=result.result,
        cause=result.hangup_cause,
        trunk=name(result.trunk),
        queue=name(result.queue),
        extension=name(result.extension),
        client=_shared(result.client),
        did=name(result.did),
        rang_last=name(result.rang_last),
        wait_seconds=_wait(result),
        talk_seconds=result.talk_seconds if result.answered else None,
    )


def _wait(result: CallResult) -> float | None:
    if not result.answered or result.answered_at is None:
        return None
    whole = (result.answered_at - result.started_at) / MICROS_PER_SECOND
    return max(0.0, whole - (result.ivr_seconds or 0.0))


@lru_cache(maxsize=4096)
def _masked(text: str | None) -> str | None:
    return None if text is None else masked_text(text, numbers=True)


def _shared(text: str | None) -> str | None:
    return None if text is None else intern(text)
