"""State of the aggregate worker for one partition: a checkpoint, and the rows after it. Pure: no Faust, Kafka or clock.

The ten rules of its protocol stand in docs/architecture.md; tests/simulate.py drives this very code through crashes,
zombies, lost rows and lost commits, and shows what breaks when one of the rules is left out.

Two generators say what has to be done outside and in which order: `restore` (restore.py) when a partition is assigned,
and `PartitionState.checkpoint` every few seconds. Their driver carries out each step that they yield and sends back
the answer (steps.py). What a row does stands in remembered_calls.py.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from streams.calls.call import call_id
from streams.calls.segments import SEGMENT_ROWS, Segment, segment_key
from streams.calls.snapshot import CheckpointedCall, Snapshot, checkpointed
from streams.rows.row import CapturedRow
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.remembered_calls import RememberedCalls
from streams.workers.aggregate.steps import (
    AwaitSent,
    CallEnded,
    CheckpointStep,
    Commit,
    GiveWay,
    Limits,
    WriteSnapshots,
)
from streams.workers.aggregate.tracked_call import TrackedCall

ROWS_BETWEEN_FLUSHES = 50_000
"""A checkpoint flushes at the latest after so many rows: a new owner replays them."""

_SLICE = 64
"""Rows that are packed, or calls that are looked at, between two turns that are offered to others."""


@dataclass(slots=True)
class _Copy:
    """The content of a flush: every dirty call as it was at one position, the marker's or a later one."""

    marker: Marker
    losses: int
    records: list[tuple[str, bytes | None]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """The calls that they are about."""
    ended: dict[str, bytes] = field(default_factory=dict)
    """The packed rows of those that have ended."""
    segments: dict[str, int] = field(default_factory=dict)
    """How many segments of a call stand in the checkpoints after it, where that changes."""
    long: list[tuple[TrackedCall, int]] = field(default_factory=list)
    """Long calls, with the number of segments that were made of each."""


class PartitionState(RememberedCalls):
    """The calls of one partition, and how far their checkpoints are."""

    def __init__(
        self,
        limits: Limits,
        position: int = 0,
        times: Mapping[str, int] | None = None,
        lost_until: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(limits, position, times, lost_until)
        self._marker = self._confirmed = Marker(position, dict(self.times), dict(self._lost.until))
        self._committed_offset: int | None = None
        self._losses = self._losses_written = 0
        """How many times rows were lost to this owner, and as of the newest checkpoint."""
        self._segments_there: dict[str, int] = {}
        """By call: how many segments may stand in the checkpoints."""
        self.segment_rows, self.slice = SEGMENT_ROWS, _SLICE

    def lose(self, next_offset: int) -> None:
        """See RememberedCalls.lose. Nothing is committed until the checkpoints know of it."""
        super().lose(next_offset)
        self._losses += 1

    def replay(self, offset: int, captured: CapturedRow) -> None:
        """Take a row from before the committed offset: its calls are dirty.

        What the row had to send by itself was sent; a call that had its LINKEDID_END may have been in its settle time
        still, so it ends again (the same version, with the same bytes).
        """
        effect = self.row(offset, captured)
        if isinstance(effect, CallEnded):
            self._reopen(call_id(captured.pbx, captured.linkedid))

    def checkpoint(self, *, flush: bool = True) -> Generator[CheckpointStep, bool, None]:
        """Flush the dirty calls, then commit (rules 7 and 8). One at a time; rows may come between the steps.

        Without `flush` it commits alone, unless so many rows came, or rows were lost, that it has to flush.
        """
        yield from self._seal_again()
        rows = self.position - self._marker.offset
        if flush or rows >= ROWS_BETWEEN_FLUSHES or self._losses_written < self._losses:
            yield from self._forget()
            if self._dirty or self._marker.offset != self.position or self._losses_written < self._losses:
                yield from self._flush()
        if self._losses_written < self._losses:
            return  # a commit would say that the rows were taken, while no checkpoint says which calls lack them
        if self._committed_offset == self.position and self._confirmed is self._marker:
            return
        offset, marker = self.position, self._marker
        yield AwaitSent()
        if (yield Commit(offset, marker)):
            self._confirm(offset, marker)

    def _flush(self) -> Generator[CheckpointStep, bool, None]:
        copy = yield from self._copy()
        yield AwaitSent()
        acknowledged = True
        if copy.records:
            acknowledged = yield WriteSnapshots(copy.records)
        yield from self._settle(copy, acknowledged)

    def adopt(self, snapshots: Mapping[str, bytes], marker: Marker, committed: int, end_offset: int) -> None:
        """Begin from a checkpoint: the last record of each key. A call's that is ahead of the topic's end is of an
        earlier topic of that name.

        Raises UnreadableSnapshot.
        """
        self._marker = self._confirmed = marker
        self._committed_offset = committed
        calls, self._segments_there = checkpointed(snapshots)
        for key, each in calls.items():
            covered = each.snapshot.covered_offset
            tracked = self.calls[key] = self._restored(key, each, covered if covered <= end_offset else 0)
            if tracked.ended:
                self._keep(key, tracked)
            else:
                self._reopen(key)
        for key, count in self._segments_there.items():
            needed = calls[key].segments if key in calls else None
            if needed is None or len(needed.packed) < count:  # left by a snapshot that was set aside: tombstones
                self._dirty[key] = None

    def _restored(self, key: str, checkpoint: CheckpointedCall, covered_offset: int) -> TrackedCall:
        """The call of a snapshot: one that has ended stays sealed."""
        call, snapshot = None, checkpoint.snapshot
        pbx, end = snapshot.pbx, snapshot.end
        if not (snapshot.ended and pbx):
            call = checkpoint.restored_call(key)
            pbx, end = call.pbx, call.end
        pbx = self._know(pbx)
        return TrackedCall(
            pbx=pbx,
            opened_at_ms=self._opened_at_ms(key[len(pbx) + 1 :], snapshot.last_row_ms),
            last_row_ms=snapshot.last_row_ms,
            ended=snapshot.ended,
            backfilled=snapshot.backfilled,
            end=end,
            missing=snapshot.missing,
            covered_offset=covered_offset,
            thawed=None if snapshot.ended else call,
            packed=snapshot.newest if snapshot.ended else None,
            segments=checkpoint.segments,
        )

    def _seal_again(self) -> Generator[GiveWay, bool, None]:
        """Seal calls again that were thawed for rows that they knew."""
        thawed, self._thawed = self._thawed, {}
        for count, key in enumerate(thawed, 1):
            tracked = self.calls.get(key)
            if tracked is not None and tracked.ended and tracked.packed is not None and key not in self._dirty:
                tracked.seal(tracked.packed)
            if count % self.slice == 0:
                yield GiveWay()

    def drop(self, key: str) -> None:
        """Forget a sealed call whose rows cannot be read: the next flush has a tombstone in its place."""
        if self.calls.pop(key, None) is not None:
            self._dirty[key] = None

    def _forget(self) -> Generator[GiveWay, bool, None]:
        """Drop ended calls that the confirmed marker's time is past (rule 9): dirty without a call is a tombstone."""
        self._lost.forget(self._confirmed.times, self._limits.grace_ms)
        for pbx, kept in list(self._kept.items()):
            time = self._confirmed.times.get(pbx, 0)
            for count, key in enumerate(kept.take(time), 1):
                if count % self.slice == 0:
                    yield GiveWay()
                tracked = self.calls.get(key)
                if tracked is None or not tracked.ended:
                    continue  # forgotten already, or open again
                if time > self._kept_until(tracked):
                    del self.calls[key]
                    self._dirty[key] = None
                else:  # rows came since
                    self._keep(key, tracked)

    def _copy(self) -> Generator[CheckpointStep, bool, _Copy]:
        """Copy the dirty calls, each at the position where its turn comes: its own covered offset says which.

        The marker is that of the beginning. A call that changes afterwards is dirty again.
        """
        copy = _Copy(Marker(self.position, dict(self.times), dict(self._lost.until)), self._losses)
        waiting, self._dirty = self._dirty, {}
        work = 0
        for key in waiting:
            tracked = self.calls.get(key)
            while tracked is not None and tracked.cut(self.segment_rows):
                yield GiveWay()
                tracked = self.calls.get(key)
            self._dirty.pop(key, None)
            work += self._copy_call(copy, key, tracked)
            if work >= self.slice:
                work = 0
                yield GiveWay()
        return copy

    def _copy_call(self, copy: _Copy, key: str, tracked: TrackedCall | None) -> int:
        """Copy a call as it is now, or its tombstones; about how many rows were packed for it."""
        copy.keys.append(key)
        made = 0
        if tracked is not None and tracked.segments is not None:
            made = len(tracked.segments.packed)
            copy.long.append((tracked, made))
            for number in range(tracked.segments.written, made):
                segment = Segment(key, number, tracked.segments.packed[number])
                copy.records.append((segment_key(key, number), segment.encode()))
        there = self._segments_there.get(key, 0)
        if there or made:
            copy.records += [(segment_key(key, number), None) for number in range(made, there)]
            copy.segments[key] = made
            self._segments_there[key] = max(there, made)
        if tracked is None:
            copy.records.append((key, None))
            return 1
        work = 1 if tracked.packed is not None else 1 + tracked.rows_not_in_segments
        packed = tracked.packed_rows()
        copy.records.append((key, self._snapshot(tracked, packed, copy.marker.offset)))
        if tracked.ended:
            copy.ended[key] = packed
        return work

    def _snapshot(self, tracked: TrackedCall, packed: bytes, begun_offset: int) -> bytes:
        return Snapshot(
            self.position,
            tracked.last_row_ms,
            tracked.ended,
            tracked.backfilled,
            tracked.rows_in_snapshot(packed),
            tracked.missing,
            tracked.pbx,
            tracked.end,
            begun_offset if begun_offset < self.position else -1,
        ).encode()

    def _settle(self, copy: _Copy, acknowledged: bool) -> Generator[GiveWay, bool, None]:
        if not acknowledged:
            self._dirty |= dict.fromkeys(copy.keys)
            return
        self._marker = copy.marker
        self._losses_written = copy.losses
        for tracked, made in copy.long:
            if tracked.segments is not None:
                tracked.segments.written = made
        for key, count in copy.segments.items():
            if count:
                self._segments_there[key] = count
            else:
                del self._segments_there[key]
        yield from self._seal(copy)

    def _seal(self, copy: _Copy) -> Generator[GiveWay, bool, None]:
        """Seal the calls that are in the checkpoint as they are now."""
        for count, (key, packed) in enumerate(copy.ended.items(), 1):
            if count % self.slice == 0:
                yield GiveWay()
            tracked = self.calls.get(key)
            if tracked is not None and tracked.ended and key not in self._dirty:
                tracked.seal(packed)

    def _confirm(self, offset: int, marker: Marker) -> None:
        self._committed_offset = offset
        self._confirmed = marker
