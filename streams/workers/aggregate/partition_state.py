"""State of the aggregate worker for one partition: a checkpoint, and the rows after it. Pure: no Faust, Kafka or clock.

The ten rules of its protocol stand in docs/architecture.md; tests/simulate.py drives this very code through crashes,
zombies and lost commits, and shows what breaks when one of the rules is left out.

Two generators say what has to be done outside and in which order: `restore` (restore.py) when a partition is assigned,
and `PartitionState.checkpoint` every few seconds. Their driver carries out each step that they yield and sends back
the answer (steps.py).
All times are Unix milliseconds of the PBX's database ("stream time"), but for `tick`'s clock.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.calls.call import MAX_ROWS, Call, call_id, epoch_of
from streams.dead_letter_reasons import DeadLetterReason
from streams.rows.eventtime import wall_micros
from streams.rows.row import CapturedRow
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.steps import (
    AwaitSent,
    CallEnded,
    CheckpointStep,
    Commit,
    Limits,
    RowEffect,
    RowRefused,
    WriteSnapshots,
)
from streams.workers.aggregate.tracked_call import Snapshot, TrackedCall

_DAY_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class _Copy:
    """The content of a flush: every dirty call as it was at one position."""

    marker: Marker
    records: list[tuple[str, bytes | None]] = field(default_factory=list)


class PartitionState:
    """The calls of one partition of the CEL topic. Rows come in the order of their offsets, each once."""

    def __init__(self, limits: Limits, position: int = 0, times: Mapping[str, int] | None = None) -> None:
        self._limits = limits
        self.position = position
        """Offset of the next row."""
        self.times: dict[str, int] = dict(times or {})
        """Stream time of each PBX: the largest commit time among its rows before `position`."""
        self.calls: dict[str, TrackedCall] = {}
        self._open: dict[str, TrackedCall] = {}
        self._settling: dict[str, int | None] = {}
        """Open calls that have their LINKEDID_END: the clock at the first look at each after its last row, taken when
        all rows were read; None: not looked at yet."""
        self._dirty: dict[str, None] = {}
        self._marker = self._confirmed = Marker(position, dict(self.times))
        self._committed_offset: int | None = None

    @property
    def open_calls(self) -> int:
        """Calls that have not ended."""
        return len(self._open)

    def first_row_of_open_calls(self, pbx: str) -> str | None:
        """The wall clock of the earliest row among a PBX's calls that have not ended: ISO, in whole seconds; None where
        there is none."""
        walls = [
            wall
            for tracked in self._open.values()
            if tracked.call.pbx == pbx
            for row in tracked.call.rows
            if (wall := wall_micros(row.eventtime)) is not None
        ]
        return datetime.fromtimestamp(min(walls) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S") if walls else None

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        """Take a row (rule 3). The effect is to be sent before the next row comes, and need not be waited for."""
        self.position = offset + 1
        now = self._advance(captured)
        key = call_id(captured.pbx, captured.linkedid)
        tracked = self.calls.get(key)
        backfilled = captured.op == "r"
        if tracked is None:
            if not backfilled and self._refused(captured, now):
                return RowRefused(
                    key, _late_reason(captured, "is unknown: it was forgotten, or began before capture did")
                )
            tracked = TrackedCall(Call(captured.pbx, captured.linkedid), self._opened_at_ms(captured.linkedid, now))
            self.calls[key] = tracked
        elif offset < tracked.covered_offset:
            return None
        elif tracked.call.knows(captured.id):
            if backfilled:  # the rest of its backfill must not find it forgotten, and make a call of half the rows
                tracked.last_row_ms = now
                self._dirty[key] = None
            return None
        elif not backfilled and now > self._deadline(tracked):
            return RowRefused(key, _late_reason(captured, "ended longer ago than the grace time"))
        elif tracked.call.full and captured.eventtype != "LINKEDID_END":
            return RowRefused(
                key, f"call {key} has {MAX_ROWS} rows already: no call has so many", DeadLetterReason.TOO_MANY_ROWS
            )
        return self._fold(key, tracked, captured, now)

    @property
    def settling(self) -> bool:
        """Whether calls wait for their settle time: `end_settled` should look at them soon."""
        return bool(self._settling)

    def replay(self, offset: int, captured: CapturedRow) -> None:
        """Take a row from before the committed offset: its calls are dirty.

        What the row had to send by itself was sent; a call that had its LINKEDID_END may have been in its settle time
        still, so it ends again (the same version, with the same bytes).
        """
        effect = self.row(offset, captured)
        if isinstance(effect, CallEnded):
            self._reopen(call_id(captured.pbx, captured.linkedid))

    def skip(self, offset: int) -> None:
        """Pass over a record that is not a row."""
        self.position = offset + 1

    def tick(self, now: int, end_offset: int) -> list[CallEnded]:
        """End the calls that went quiet (rule 5). `now`: the clock; `end_offset`: the topic's end, asked just before.

        While rows are still to be read the clock says nothing about them, so stream time stands in for it: a worker
        that catches up on days must not keep the calls of days open.
        """
        caught_up = self.position >= end_offset
        finished = self.end_settled(now, end_offset)
        for key, tracked in list(self._open.items()):
            time = self.times[tracked.call.pbx]
            if key in self._settling:
                continue
            if (max(now, time) if caught_up else time) - tracked.last_row_ms >= self._limits.wait_ms(tracked.call):
                finished.append(self._end(key, tracked))
        return finished

    def end_settled(self, now: int, end_offset: int) -> list[CallEnded]:
        """End the calls that had no row for the settle time after their LINKEDID_END; arguments as of `tick`.

        The clock is compared with itself alone, at the first look after the last row: a database tells its commit times
        in whole seconds, so that against them every call would seem to have settled.
        """
        caught_up, settle_ms = self.position >= end_offset, self._limits.settle_ms
        finished = []
        for key, since in list(self._settling.items()):
            tracked = self._open[key]
            by_stream = self.times[tracked.call.pbx] - tracked.last_row_ms >= max(1, settle_ms)
            if by_stream or (caught_up and since is not None and now - since >= settle_ms):
                finished.append(self._end(key, tracked))
            elif caught_up and (since is None or now < since):
                self._settling[key] = now
        return finished

    def checkpoint(self) -> Generator[CheckpointStep, bool, None]:
        """Flush the dirty calls, then commit (rules 7 and 8). One at a time; rows may come between the steps."""
        self._forget()
        if not self._dirty and self._committed_offset == self.position and self._confirmed.offset == self.position:
            return
        copy = self._copy()
        yield AwaitSent()
        acknowledged = True
        if copy.records:
            acknowledged = yield WriteSnapshots(copy.records)
        self._settle(copy, acknowledged)
        offset, marker = self.position, self._marker
        yield AwaitSent()
        if (yield Commit(offset, marker)):
            self._confirm(offset, marker)

    def adopt(self, snapshots: Mapping[str, bytes], marker: Marker, committed: int, end_offset: int) -> None:
        """Begin from a checkpoint. One that is ahead of the topic's end is of an earlier topic of that name.

        Raises UnreadableSnapshot.
        """
        self._marker = self._confirmed = marker
        self._committed_offset = committed
        for key, value in snapshots.items():
            snapshot = Snapshot.of(key, value)
            call = snapshot.restored_call(key)
            opened_at_ms = self._opened_at_ms(call.linkedid, snapshot.last_row_ms)
            covered_offset = snapshot.covered_offset if snapshot.covered_offset <= end_offset else 0
            tracked = TrackedCall(
                call, opened_at_ms, snapshot.last_row_ms, snapshot.ended, snapshot.backfilled, covered_offset
            )
            self.calls[key] = tracked
            self.times.setdefault(call.pbx, 0)
            if not tracked.ended:
                self._reopen(key)

    def _advance(self, captured: CapturedRow) -> int:
        time = max(self.times.get(captured.pbx, 0), captured.commit_ms)
        self.times[captured.pbx] = time
        return time

    def _fold(self, key: str, tracked: TrackedCall, captured: CapturedRow, now: int) -> CallEnded | None:
        tracked.call.add(captured)
        tracked.last_row_ms = now
        tracked.backfilled = tracked.backfilled and captured.op == "r"
        self._dirty[key] = None
        if tracked.call.linkedid_end and not self._limits.settle_ms:
            return self._end(key, tracked)
        self._reopen(key)  # an ending by the timer is not a fact of the rows
        return None

    def _reopen(self, key: str) -> None:
        tracked = self.calls[key]
        tracked.ended = False
        self._open[key] = tracked
        if tracked.call.linkedid_end:
            self._settling[key] = None

    def _end(self, key: str, tracked: TrackedCall) -> CallEnded:
        tracked.ended = True
        self._open.pop(key, None)
        self._settling.pop(key, None)
        self._dirty[key] = None
        call = tracked.call
        return CallEnded(call, cut_short=not (call.linkedid_end or call.channels_ended), backfilled=tracked.backfilled)

    def _deadline(self, tracked: TrackedCall) -> int:
        """Streamed rows of a call are taken until then (rule 2)."""
        limits, call = self._limits, tracked.call
        if tracked.backfilled and call.linkedid_end:
            return tracked.last_row_ms + limits.backfill_grace_ms
        return tracked.last_row_ms + limits.wait_ms(call) + limits.grace_ms

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
            if (captured.eventtype, captured.uniqueid) != ("CHAN_START", captured.linkedid):
                return True
            opened_at_ms = captured.commit_ms
        return now - opened_at_ms > self._limits.grace_ms

    def _forget(self) -> None:
        """Drop ended calls that the confirmed marker's time is past (rule 9): dirty without a call is a tombstone.

        A call also stays until its rows would be refused as an unknown call's: with clocks that differ (Asterisk's and
        the database's), its deadline alone would leave a gap in which a late row opens it anew.
        """
        times, grace = self._confirmed.times, self._limits.grace_ms
        for key, tracked in list(self.calls.items()):
            time = times.get(tracked.call.pbx, 0)
            settled = tracked.opened_at_ms is None or time - tracked.opened_at_ms > grace
            if tracked.ended and settled and time > self._deadline(tracked):
                del self.calls[key]
                self._dirty[key] = None

    def _copy(self) -> _Copy:
        copy = _Copy(Marker(self.position, dict(self.times)))
        for key in self._dirty:
            tracked = self.calls.get(key)
            copy.records.append((key, self._snapshot(tracked) if tracked else None))
        self._dirty = {}
        return copy

    def _snapshot(self, tracked: TrackedCall) -> bytes:
        return Snapshot(
            self.position, tracked.last_row_ms, tracked.ended, tracked.backfilled, tracked.call.to_bytes()
        ).encode()

    def _settle(self, copy: _Copy, acknowledged: bool) -> None:
        if acknowledged:
            self._marker = copy.marker
        else:
            self._dirty |= dict.fromkeys(key for key, _ in copy.records)

    def _confirm(self, offset: int, marker: Marker) -> None:
        self._committed_offset = offset
        self._confirmed = marker


def _late_reason(captured: CapturedRow, what: str) -> str:
    return (
        f"late row: call {call_id(captured.pbx, captured.linkedid)} {what}. "
        f"Backfill the whole call: all rows with linkedid = '{captured.linkedid}'"
    )
