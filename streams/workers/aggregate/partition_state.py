"""State of the aggregate worker for one partition: a checkpoint, and the rows after it. Pure: no Faust, Kafka or clock.

Rules 1 to 10 of the design ("State: checkpoint and log"); tests/simulate.py drives this very code through crashes,
zombies and lost commits, and shows what breaks when one of the rules is left out.

Two generators say what has to be done outside and in which order: `restore` when a partition is assigned, and
`PartitionState.checkpoint` every few seconds. Their driver carries out each step that they yield and sends back the
answer.
All times are Unix milliseconds of the PBX's database ("stream time"), but for `tick`'s clock.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from streams.calls.call import MAX_ROWS, Call, call_id, epoch_of
from streams.dead_letter_reasons import DeadLetterReason
from streams.kafka.marker import Committed, Marker
from streams.rows.row import CapturedRow
from streams.settings import AggregateSettings

_DAY_MS = 24 * 3600 * 1000
_BACKFILL_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When a call has ended and how long it takes late rows. Milliseconds."""

    quiet: int
    time_limit: int
    grace: int
    backfill_grace: int
    """Instead of `grace` for a call that was backfilled up to its LINKEDID_END. A backfill reads in the order of ids,
    so what comes after it is little; and at a backfill's speed the whole grace time would fill the memory."""

    @classmethod
    def of(cls, settings: AggregateSettings) -> "Limits":
        """From the settings, which are in seconds."""
        return cls(
            quiet=round(settings.quiet_seconds * 1000),
            time_limit=round(settings.time_limit_seconds * 1000),
            grace=round(settings.grace_seconds * 1000),
            backfill_grace=round(min(settings.grace_seconds, _BACKFILL_GRACE_SECONDS) * 1000),
        )


@dataclass(slots=True)
class TrackedCall:
    """A call that the worker remembers: it is open, or its grace time still runs."""

    call: Call
    opened_at: int | None
    """When its channel was made, by its linkedid; None where the linkedid does not tell (or tells the future)."""
    last: int = 0
    """Stream time at its last new row."""
    ended: bool = False
    backfilled: bool = True
    """No row of it was seen live: every one came from a snapshot of the table."""
    covered: int = 0
    """The snapshot that it was restored from says what became of rows before this offset, which may be ahead of the
    committed one: they are in it, or they were refused and must not come in now because the call is known by now."""


class CallEnded(NamedTuple):
    """A call ended, or got a new row after its end: classify it now, for it may change with the next row."""

    call: Call
    cut_short: bool
    backfilled: bool


class RowRefused(NamedTuple):
    """The row would make a wrong result, or one without end: it belongs to the dead letters."""

    call_id: str
    explanation: str
    reason: DeadLetterReason = DeadLetterReason.LATE_ROW


RowEffect = CallEnded | RowRefused


class Fence(NamedTuple):
    """Make every earlier owner's writes to this partition's checkpoints fail from now on."""


class ReadCommitted(NamedTuple):
    """Answer: the group's committed offset and its metadata, or None."""


class ReadSnapshots(NamedTuple):
    """Read the partition's checkpoints to their end, committed transactions only. Answer: {call id: snapshot}."""


class Replay(NamedTuple):
    """Feed the rows start <= offset < end to `partition.replay`, or `partition.skip` for unreadable ones."""

    partition: "PartitionState"
    start: int
    end: int


class AwaitSent(NamedTuple):
    """Wait for the broker's answer on every result and dead letter sent so far. One that failed ends the process."""


class WriteSnapshots(NamedTuple):
    """Write all in one transaction and await it. Answer: whether all were acknowledged. Fenced: end the process."""

    records: list[tuple[str, bytes | None]]


class Commit(NamedTuple):
    """Commit the offset with the marker as its metadata. Answer: whether the broker confirmed it."""

    offset: int
    marker: Marker


RestoreStep = Fence | ReadCommitted | ReadSnapshots | Replay
CheckpointStep = AwaitSent | WriteSnapshots | Commit


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A call in the checkpoints: its state, and the offset before which its rows are in it.

    Stream time is not repeated here: the marker holds it, and it must never be taken from anywhere else (a group whose
    offsets were lost starts at an early offset, where every row is too late for the time of a recent snapshot).
    """

    covered: int
    last: int
    ended: bool
    backfilled: bool
    call: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Snapshot).decode


@dataclass(slots=True)
class _Copy:
    """What a flush writes: every dirty call as it was at one position."""

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
        self._dirty: dict[str, None] = {}
        self._marker = self._confirmed = Marker(position, dict(self.times))
        self._committed_offset: int | None = None

    @property
    def open_calls(self) -> int:
        """Calls that have not ended."""
        return len(self._open)

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        """Take a row (rule 3). The effect is to be sent before the next row comes, and need not be waited for."""
        self.position = offset + 1
        now = self._advance(captured)
        key = call_id(captured.pbx, captured.linkedid)
        kept = self.calls.get(key)
        backfilled = captured.op == "r"
        if kept is None:
            if not backfilled and self._refused(captured, now):
                return RowRefused(
                    key, _late_reason(captured, "is unknown: it was forgotten, or began before capture did")
                )
            kept = TrackedCall(Call(captured.pbx, captured.linkedid), self._opened_at(captured.linkedid, now))
            self.calls[key] = kept
        elif offset < kept.covered:
            return None
        elif kept.call.knows(captured.id):
            if backfilled:  # the rest of its backfill must not find it forgotten, and make a call of half the rows
                kept.last = now
                self._dirty[key] = None
            return None
        elif not backfilled and now > self._deadline(kept):
            return RowRefused(key, _late_reason(captured, "ended longer ago than the grace time"))
        elif kept.call.full and captured.eventtype != "LINKEDID_END":
            return RowRefused(
                key, f"call {key} has {MAX_ROWS} rows already: no call has so many", DeadLetterReason.TOO_MANY_ROWS
            )
        return self._fold(key, kept, captured, now)

    def replay(self, offset: int, captured: CapturedRow) -> None:
        """Take a row from before the committed offset: what it had to send was sent, and its calls are dirty."""
        self.row(offset, captured)

    def skip(self, offset: int) -> None:
        """Pass over a record that is no row."""
        self.position = offset + 1

    def tick(self, now: int, end_offset: int) -> list[CallEnded]:
        """End the calls that went quiet (rule 5). `now`: the clock; `end_offset`: the topic's end, asked just before.

        While rows are still to be read the clock says nothing about them, so stream time stands in for it: a worker
        that catches up on days must not keep the calls of days open.
        """
        caught_up = self.position >= end_offset
        finished = []
        for key, kept in list(self._open.items()):
            time = self.times[kept.call.pbx]
            if (max(now, time) if caught_up else time) - kept.last >= self._wait(kept.call):
                finished.append(self._end(key, kept))
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
        """Begin from a checkpoint. One that is ahead of the topic's end is of an earlier topic of that name."""
        self._marker = self._confirmed = marker
        self._committed_offset = committed
        for key, value in snapshots.items():
            snapshot = _decode(value)
            call = Call.from_bytes(snapshot.call)
            opened_at = self._opened_at(call.linkedid, snapshot.last)
            covered = snapshot.covered if snapshot.covered <= end_offset else 0
            kept = TrackedCall(call, opened_at, snapshot.last, snapshot.ended, snapshot.backfilled, covered)
            self.calls[key] = kept
            self.times.setdefault(call.pbx, 0)
            if not kept.ended:
                self._open[key] = kept

    def _advance(self, captured: CapturedRow) -> int:
        time = max(self.times.get(captured.pbx, 0), captured.commit_ms)
        self.times[captured.pbx] = time
        return time

    def _fold(self, key: str, kept: TrackedCall, captured: CapturedRow, now: int) -> CallEnded | None:
        kept.call.add(captured)
        kept.last = now
        kept.backfilled = kept.backfilled and captured.op == "r"
        self._dirty[key] = None
        if kept.call.linkedid_end:
            return self._end(key, kept)
        kept.ended = False  # an ending by the timer is no fact of the rows
        self._open[key] = kept
        return None

    def _end(self, key: str, kept: TrackedCall) -> CallEnded:
        kept.ended = True
        self._open.pop(key, None)
        self._dirty[key] = None
        call = kept.call
        return CallEnded(call, cut_short=not (call.linkedid_end or call.channels_ended), backfilled=kept.backfilled)

    def _wait(self, call: Call) -> int:
        """How long without a row ends a call."""
        if call.linkedid_end:
            return 0
        return self._limits.quiet if call.channels_ended else self._limits.time_limit

    def _deadline(self, kept: TrackedCall) -> int:
        """Streamed rows of a call are taken until then (rule 2)."""
        limits, call = self._limits, kept.call
        if kept.backfilled and call.linkedid_end:
            return kept.last + limits.backfill_grace
        return kept.last + self._wait(call) + limits.grace

    def _opened_at(self, linkedid: str, now: int) -> int | None:
        epoch = epoch_of(linkedid)
        return None if epoch is None or epoch * 1000 > now + _DAY_MS else epoch * 1000

    def _refused(self, captured: CapturedRow, now: int) -> bool:
        """Whether a streamed row must not open a call: earlier rows of it are missing, or were forgotten.

        A linkedid without a readable second does not tell how old the call is. Then only the row that Asterisk logs
        first, the start of the channel that the call is named after, may open it, and its commit time is the call's.
        """
        opened_at = self._opened_at(captured.linkedid, now)
        if opened_at is None:
            if (captured.eventtype, captured.uniqueid) != ("CHAN_START", captured.linkedid):
                return True
            opened_at = captured.commit_ms
        return now - opened_at > self._limits.grace

    def _forget(self) -> None:
        """Drop ended calls that the confirmed marker's time is past (rule 9): dirty without a call is a tombstone.

        A call also stays until its rows would be refused as an unknown call's: with clocks that differ (Asterisk's and
        the database's), its deadline alone would leave a gap in which a late row opens it anew.
        """
        times, grace = self._confirmed.times, self._limits.grace
        for key, kept in list(self.calls.items()):
            time = times.get(kept.call.pbx, 0)
            settled = kept.opened_at is None or time - kept.opened_at > grace
            if kept.ended and settled and time > self._deadline(kept):
                del self.calls[key]
                self._dirty[key] = None

    def _copy(self) -> _Copy:
        copy = _Copy(Marker(self.position, dict(self.times)))
        for key in self._dirty:
            kept = self.calls.get(key)
            copy.records.append((key, self._snapshot(kept) if kept else None))
        self._dirty = {}
        return copy

    def _snapshot(self, kept: TrackedCall) -> bytes:
        return _encode(_Snapshot(self.position, kept.last, kept.ended, kept.backfilled, kept.call.to_bytes()))

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


def restore(
    limits: Limits, first_offset: int, end_offset: int, new: Callable[..., PartitionState] = PartitionState
) -> Generator[RestoreStep, Any, PartitionState]:
    """Take over a partition (rule 10), as soon as it is assigned: calls left open must not wait for a stranger's row.

    The topic holds first_offset <= offset < end_offset. Rows are to be consumed from the returned partition's position.
    """
    yield Fence()
    committed: Committed | None = yield ReadCommitted()
    snapshots: Mapping[str, bytes] = yield ReadSnapshots()
    start = committed.offset if committed else first_offset
    marker = Marker.decode(committed.metadata) if committed else None
    if marker is None:  # a new group, or an offset set by hand
        marker = Marker(start, {})
    partition = new(limits, marker.offset, marker.times)
    partition.adopt(snapshots, marker, start, end_offset)
    if marker.offset < start:
        yield Replay(partition, max(marker.offset, first_offset), min(start, end_offset))
    partition.position = max(start, first_offset)
    return partition
