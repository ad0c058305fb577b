"""A folded call's outcome, or why there is none: its first rows are gone, or it goes on. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from streams.calls.call import epoch_of
from streams.calls.classify import classify
from streams.calls.missing_rows import begins_in_its_middle, opens_call
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import Classification
from streams.clock import UtcMillis
from streams.privacy.erased import ErasedNumbers
from streams.replay.fold import FoldedCall
from streams.replay.ranges import PartitionRange
from streams.rules import Rules
from streams.workers.aggregate.steps import Limits

_CLOCKS_APART_MS = 60_000
"""By how much Asterisk's clock, which the linkedid tells, may be ahead of that of the records."""


class Unjudged(StrEnum):
    """Why a call is not judged; such a call is never published."""

    FIRST_ROWS = "first_rows_gone"
    """The topic holds it from its middle on."""
    ROWS_GONE = "rows_gone"
    """Retention removed rows while they were read."""
    OPEN = "still_open"
    FEWER_ROWS = "fewer_rows"
    """A result of it holds more rows than are read."""
    ROWS_LOST = "rows_lost"
    """The worker withheld it, since rows of it may be lost, and no result shows it."""
    NOT_CLASSIFIED = "not_judged"


class NotJudged(NamedTuple):
    """A call without an outcome."""

    call_id: str
    why: Unjudged
    words: str


class Judged(NamedTuple):
    """A call with its outcome."""

    outcome: Classification
    partition: int
    last_offset: int
    """Where its last row stands."""


@dataclass(slots=True)
class CallJudge:
    """The outcomes of the calls of one partition's range."""

    rules: Rules
    profile: PbxProfile
    limits: Limits
    topic: str
    erased: ErasedNumbers | None = None
    """Numbers that are left out of outcomes; None: none was erased."""

    def judge(
        self, folded: FoldedCall, place: PartitionRange, starts_logged: Collection[str], first_read_ms: UtcMillis | None
    ) -> Judged | NotJudged | None:
        """The outcome; None: the call began before the rows that are read, and is not meant."""
        call = folded.call
        if folded.rows_gone:
            words = f"retention removed rows of {self._partition(place)} while they were read: repeat the replay"
            return NotJudged(call.call_id, Unjudged.ROWS_GONE, words)
        rows = call.rows
        if not any(map(opens_call, rows)):
            opened = epoch_of(call.linkedid)
            before = opened is not None and first_read_ms is not None
            before = before and opened * 1000 <= first_read_ms + _CLOCKS_APART_MS  # type: ignore[operator]
            if before and place.read_from > place.kept_from:
                return None
            if (before and place.kept_from) or (call.pbx in starts_logged and begins_in_its_middle(rows)):
                return NotJudged(call.call_id, Unjudged.FIRST_ROWS, self._first_rows(place))
        if not call.ended and place.known_until_ms - folded.last_commit_ms < self.limits.wait_ms(call.end):
            words = f"its last row is of offset {folded.last_offset}, and its rows do not say that it is over"
            return NotJudged(call.call_id, Unjudged.OPEN, words)
        try:
            outcome = classify(call, self.rules, self.profile, cut_short=not call.ended)
        except Exception as error:  # a call that nobody thought of must not stop the others
            return NotJudged(call.call_id, Unjudged.NOT_CLASSIFIED, f"{type(error).__name__}: {error}")
        if self.erased is not None:
            outcome = self.erased.obeyed(outcome)
        return Judged(outcome, place.partition, folded.last_offset)

    def _first_rows(self, place: PartitionRange) -> str:
        if place.kept_from:
            gone = f"before offset {place.kept_from} of {self._partition(place)} all is gone"
            return f"its first rows are not on the topic: {gone}"
        return f"its first rows never came to {self.topic}: cel2crm backfill brings it"

    def _partition(self, place: PartitionRange) -> str:
        return f"{self.topic}, partition {place.partition}"
