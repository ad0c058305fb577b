"""The calls of one partition of the CEL topic: when they end, and which rows are too late (rules 1 to 5). Pure.

All times are Unix milliseconds of the PBX's database ("stream time"), but for `tick`'s clock.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

from streams.calls.call import MAX_ROWS, Call, End, call_id, epoch_of
from streams.calls.missing_rows import Missing, begins_in_its_middle, opens_call
from streams.dead_letter_reasons import DeadLetterReason
from streams.rows.eventtime import wall_micros
from streams.rows.row import CapturedRow, CelRow
from streams.rows.shared_texts import sharing
from streams.workers.aggregate.complete_until import OpenSince
from streams.workers.aggregate.deadlines import CoarseDeadlines
from streams.workers.aggregate.lost_rows import LostRows
from streams.workers.aggregate.open_calls import OpenCalls
from streams.workers.aggregate.steps import CallEnded, CallWithheld, Ended, Limits, RowEffect, RowRefused
from streams.workers.aggregate.tracked_call import TrackedCall

_DAY_MS = 24 * 3600 * 1000
_TEXTS, _TEXTS_OF_A_CALL = 4_096, 64


class RememberedCalls:
    """Calls that are open, or whose grace time still runs. Rows come in the order of their offsets, each once."""

    def __init__(
        self, limits: Limits, position: int, times: Mapping[str, int] | None, lost_until: Mapping[str, int] | None
    ) -> None:
        self._limits = limits
        self.position = position
        """Offset of the next row."""
        self.times: dict[str, int] = dict(times or {})
        """Stream time of each PBX: the largest commit time among its rows before `position`."""
        self.calls: dict[str, TrackedCall] = {}
        self._lost = LostRows(lost_until or {})
        self._starts_logged: set[str] = set()
        """PBXs that log the start of channels (cel.conf chooses the events), as far as this process has seen."""
        self._open = OpenCalls(limits)
        self._kept: defaultdict[str, CoarseDeadlines] = defaultdict(CoarseDeadlines)
        """By PBX: calls that ended, by the stream time after which they may be forgotten."""
        self._dirty: dict[str, None] = {}
        """Calls that are not in a checkpoint as they are now."""
        self._thawed: dict[str, None] = {}
        """Calls that were sealed at the last checkpoint, and had rows since."""
        self._pbxs: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        """Texts of the rows of open calls, for the next rows to share."""

    @property
    def open_calls(self) -> int:
        """Calls that have not ended."""
        return len(self._open)

    def first_row_of_open_calls(self, pbx: str) -> str | None:
        """The wall clock of the earliest row among a PBX's calls that have not ended: ISO, in whole seconds; None where
        there is none."""
        walls = [
            wall
            for tracked in self._open.of_pbx(pbx)
            for row in tracked.call.rows
            if (wall := wall_micros(row.eventtime)) is not None
        ]
        return datetime.fromtimestamp(min(walls) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S") if walls else None

    def first_open_calls(self) -> dict[str, OpenSince]:
        """By PBX: the call that began first among those that have not ended; one whose beginning is not known comes
        before all others."""
        return {each.pbx: OpenSince(key, each.opened_at_ms) for key, each in self._open.opened_first()}

    @property
    def settling(self) -> bool:
        """Whether calls wait for their settle time: `end_settled` should look at them soon."""
        return self._open.settle_soon

    @property
    def settled_at(self) -> int | None:
        """See OpenCalls.settled_at."""
        return self._open.settled_at

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        """Take a row (rule 3). The effect is to be sent before the next row comes, and need not be waited for.

        Raises UnreadableSnapshot, before anything is changed, where the row is of a sealed call that cannot be read.
        """
        key = call_id(captured.pbx, captured.linkedid)
        tracked = self.calls.get(key)
        if tracked is not None and tracked.sealed and offset >= tracked.covered_offset:
            tracked.thaw(key)
            self._thawed[key] = None
        self.position = offset + 1
        now = self._advance(captured)
        backfilled = captured.op == "r"
        if tracked is None:
            if not backfilled and self._refused(captured, now):
                return RowRefused(
                    key, _late_reason(captured, "is unknown: it was forgotten, or began before capture did")
                )
            tracked = self._new(captured, now)
            if self._first_rows_lost(captured, tracked):
                tracked.missing = Missing.FIRST_ROWS
            self.calls[key] = tracked
        elif offset < tracked.covered_offset:
            return None
        elif tracked.call.knows(captured.id):
            if backfilled:  # the rest of its backfill must not find it forgotten, and make a call of half the rows
                tracked.last_row_ms = max(tracked.last_row_ms, now)
                self._dirty[key] = None
                self._read_again(key, tracked, captured)
            return None
        elif not backfilled and now > self._deadline(tracked):
            return RowRefused(key, _late_reason(captured, "ended longer ago than the grace time"))
        elif tracked.call.full and captured.eventtype != "LINKEDID_END":
            return RowRefused(
                key, f"call {key} has {MAX_ROWS} rows already: no call has so many", DeadLetterReason.TOO_MANY_ROWS
            )
        return self._fold(key, tracked, captured, now)

    def skip(self, offset: int) -> None:
        """Pass over a record that is not a row."""
        self.position = offset + 1

    def lose(self, next_offset: int) -> None:
        """The rows before `next_offset` that were not taken are lost: calls under way may lack some of them.

        To be told to the operator before the next checkpoint.
        """
        self.position = max(self.position, next_offset)
        self._lost.lost(self.times)
        for key, tracked in self.calls.items():
            missing = tracked.missing.after_loss(ended=tracked.ended)
            if missing is not tracked.missing:
                tracked.missing = missing
                self._dirty[key] = None
                self._open.missing_changed(key, tracked)

    def tick(self, now: int, end_offset: int) -> list[Ended]:
        """End the calls that went quiet (rule 5). `now`: the clock; `end_offset`: the topic's end, asked just before.

        While rows are still to be read the clock says nothing about them, so stream time stands in for it: a worker
        that catches up on days must not keep the calls of days open.
        """
        finished = self.end_settled(now, end_offset)
        gone_quiet = self._open.gone_quiet(self.times, now if self.position >= end_offset else None)
        return finished + [self._end(key, tracked) for key, tracked in gone_quiet]

    def end_settled(self, now: int, end_offset: int) -> list[Ended]:
        """End the calls that had no row for the settle time after their LINKEDID_END; arguments as of `tick`."""
        settled = self._open.settled(self.times, now if self.position >= end_offset else None)
        return [self._end(key, tracked) for key, tracked in settled]

    def _new(self, captured: CapturedRow, now: int) -> TrackedCall:
        pbx, linkedid = self._know(captured.pbx), captured.linkedid
        return TrackedCall(pbx, self._opened_at_ms(linkedid, now), thawed=Call(pbx, linkedid))

    def _know(self, pbx: str) -> str:
        """Have a time for a PBX; its name, the same text for all calls."""
        if pbx not in self.times:
            self.times[pbx] = 0
            self._lost.new_pbx(pbx)
        return self._pbxs.setdefault(pbx, pbx)

    def _advance(self, captured: CapturedRow) -> int:
        self._know(captured.pbx)
        time = max(self.times[captured.pbx], captured.commit_ms)
        self.times[captured.pbx] = time
        if captured.op != "r":
            self._lost.streamed_row(captured.pbx, time)
        return time

    def _first_rows_lost(self, captured: CapturedRow, tracked: TrackedCall) -> bool:
        """Whether the first row that is seen of a call may not be its first one."""
        if opens_call(captured):
            return False
        # Without a known loss: capture began, or went on after a gap, in the call's middle; nobody else tells of that.
        never = captured.op != "r" and captured.eventtype != "CHAN_START" and captured.pbx in self._starts_logged
        return never or self._lost.may_include_first_rows(captured.pbx, tracked.opened_at_ms)

    def _fold(self, key: str, tracked: TrackedCall, captured: CapturedRow, now: int) -> Ended | None:
        tracked.add(self._sharing(captured))
        tracked.last_row_ms = max(tracked.last_row_ms, now)  # after offsets set by hand, stream time begins anew
        tracked.row_came(captured, new=True)
        if captured.eventtype == "CHAN_START":
            self._starts_logged.add(captured.pbx)
        self._dirty[key] = None
        if tracked.end is End.LINKEDID and not self._limits.settle_ms and not tracked.missing.waits:
            return self._end(key, tracked)
        self._reopen(key)  # an ending by the timer is not a fact of the rows
        return None

    def _sharing(self, captured: CapturedRow) -> CelRow:
        if len(self._texts) > _TEXTS + _TEXTS_OF_A_CALL * self.open_calls:
            self._texts.clear()
        return sharing(captured, self._texts)

    def _read_again(self, key: str, tracked: TrackedCall, captured: CapturedRow) -> None:
        """A backfill reads a call again: it is judged when it was read to its end.

        Also where no row is missing: who backfills a call has no result of it, since retention removed that, say.
        """
        before = tracked.missing
        tracked.row_came(captured, new=False)
        if before is Missing.NOTHING and tracked.ended and opens_call(captured):
            tracked.missing = Missing.READ_AGAIN
        if before.waits or tracked.missing is not before:
            self._reopen(key)

    def _reopen(self, key: str) -> None:
        tracked = self.calls[key]
        tracked.ended = False
        self._open.row_came(key, tracked)

    def _end(self, key: str, tracked: TrackedCall) -> Ended:
        tracked.ended = True
        self._open.ended(key, tracked)
        self._dirty[key] = None
        call = tracked.call
        if tracked.missing is Missing.NOTHING and not tracked.backfilled and self._begins_in_its_middle(call):
            tracked.missing = Missing.FIRST_ROWS
        if tracked.missing is Missing.READ_AGAIN:
            tracked.missing = Missing.NOTHING
        self._keep(key, tracked)
        if tracked.missing.withholds:
            return CallWithheld(call, tracked.missing is Missing.FIRST_ROWS and call.pbx not in self._lost.until)
        return CallEnded(call, cut_short=tracked.end is End.NOT_SEEN, backfilled=tracked.backfilled)

    def _keep(self, key: str, tracked: TrackedCall) -> None:
        """Have a call that ended looked at when it may be forgotten."""
        self._kept[tracked.pbx].put(key, self._kept_until(tracked))

    def _begins_in_its_middle(self, call: Call) -> bool:
        """Whether the call's first rows were never captured, by all of its rows."""
        return call.pbx in self._starts_logged and begins_in_its_middle(call.rows)

    def _deadline(self, tracked: TrackedCall) -> int:
        """Streamed rows of a call are taken until then (rule 2)."""
        limits = self._limits
        if tracked.backfilled and tracked.end is End.LINKEDID:
            return tracked.last_row_ms + limits.backfill_grace_ms
        return tracked.last_row_ms + limits.wait_ms(tracked.end) + limits.grace_ms

    def _kept_until(self, tracked: TrackedCall) -> int:
        """A call that ended may be forgotten after that: its streamed rows are refused then, and would be as an unknown
        call's.

        With clocks that differ (Asterisk's and the database's), its deadline alone would leave a gap in which a late
        row opens it anew.
        """
        deadline = self._deadline(tracked)
        return deadline if tracked.opened_at_ms is None else max(deadline, tracked.opened_at_ms + self._limits.grace_ms)

    def _opened_at_ms(self, linkedid: str, now: int) -> int | None:
        epoch = epoch_of(linkedid)
        return None if epoch is None or epoch * 1000 > now + _DAY_MS else epoch * 1000

    def _refused(self, captured: CapturedRow, now: int) -> bool:
        """Whether a streamed row must not open a call: earlier rows of it are missing, or were forgotten.

        A linkedid without a readable second does not tell how old the call is. Then only the row that Asterisk logs
        first, the start of the channel that the call is named after, may open it, and its commit time is the call's.
        """
        opened_at_ms = self._opened_at_ms(captured.linkedid, now)
        if opened_at_ms is None:
            if not opens_call(captured):
                return True
            opened_at_ms = captured.commit_ms
        return now - opened_at_ms > self._limits.grace_ms


def _late_reason(captured: CapturedRow, what: str) -> str:
    return (
        f"late row: call {call_id(captured.pbx, captured.linkedid)} {what}. "
        f"Backfill the whole call: all rows with linkedid = '{captured.linkedid}'"
    )
