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
from streams.calls.snapshot import Snapshot
from streams.rows.row import CapturedRow
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.remembered_calls import RememberedCalls
from streams.workers.aggregate.steps import AwaitSent, CallEnded, CheckpointStep, Commit, Limits, WriteSnapshots
from streams.workers.aggregate.tracked_call import TrackedCall


@dataclass(slots=True)
class _Copy:
    """The content of a flush: every dirty call as it was at one position."""

    marker: Marker
    losses: int
    records: list[tuple[str, bytes | None]] = field(default_factory=list)
    ended: dict[str, bytes] = field(default_factory=dict)
    """The packed rows of those that have ended."""


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

    def checkpoint(self) -> Generator[CheckpointStep, bool, None]:
        """Flush the dirty calls, then commit (rules 7 and 8). One at a time; rows may come between the steps."""
        self._seal_again()
        self._forget()
        unchanged = self._committed_offset == self._confirmed.offset == self.position
        if unchanged and not self._dirty and self._losses_written == self._losses:
            return
        copy = self._copy()
        yield AwaitSent()
        acknowledged = True
        if copy.records:
            acknowledged = yield WriteSnapshots(copy.records)
        self._settle(copy, acknowledged)
        if self._losses_written < self._losses:
            return  # a commit would say that the rows were taken, while no checkpoint says which calls lack them
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
            covered_offset = snapshot.covered_offset if snapshot.covered_offset <= end_offset else 0
            tracked = self.calls[key] = self._restored(key, snapshot, covered_offset)
            if tracked.ended:
                self._keep(key, tracked)
            else:
                self._reopen(key)

    def _restored(self, key: str, snapshot: Snapshot, covered_offset: int) -> TrackedCall:
        """The call of a snapshot: one that has ended stays sealed."""
        call = None
        pbx, end = snapshot.pbx, snapshot.end
        if not (snapshot.ended and pbx):
            call = snapshot.restored_call(key)
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
            packed=snapshot.call if snapshot.ended else None,
        )

    def _seal_again(self) -> None:
        """Seal calls again that were thawed for rows that they knew."""
        for key in self._thawed:
            tracked = self.calls.get(key)
            if tracked is not None and tracked.ended and tracked.packed is not None and key not in self._dirty:
                tracked.seal(tracked.packed)
        self._thawed.clear()

    def drop(self, key: str) -> None:
        """Forget a sealed call whose rows cannot be read: the next checkpoint has a tombstone in its place."""
        if self.calls.pop(key, None) is not None:
            self._dirty[key] = None

    def _forget(self) -> None:
        """Drop ended calls that the confirmed marker's time is past (rule 9): dirty without a call is a tombstone."""
        self._lost.forget(self._confirmed.times, self._limits.grace_ms)
        for pbx, kept in self._kept.items():
            time = self._confirmed.times.get(pbx, 0)
            for key in kept.take(time):
                tracked = self.calls.get(key)
                if tracked is None or not tracked.ended:
                    continue  # forgotten already, or open again
                if time > self._kept_until(tracked):
                    del self.calls[key]
                    self._dirty[key] = None
                else:  # rows came since
                    self._keep(key, tracked)

    def _copy(self) -> _Copy:
        copy = _Copy(Marker(self.position, dict(self.times), dict(self._lost.until)), self._losses)
        for key in self._dirty:
            tracked = self.calls.get(key)
            if tracked is None:
                copy.records.append((key, None))
                continue
            packed = tracked.packed_rows()
            copy.records.append((key, self._snapshot(tracked, packed)))
            if tracked.ended:
                copy.ended[key] = packed
        self._dirty = {}
        return copy

    def _snapshot(self, tracked: TrackedCall, packed: bytes) -> bytes:
        return Snapshot(
            self.position,
            tracked.last_row_ms,
            tracked.ended,
            tracked.backfilled,
            packed,
            tracked.missing,
            tracked.pbx,
            tracked.end,
        ).encode()

    def _settle(self, copy: _Copy, acknowledged: bool) -> None:
        if acknowledged:
            self._marker = copy.marker
            self._losses_written = copy.losses
            self._seal(copy)
        else:
            self._dirty |= dict.fromkeys(key for key, _ in copy.records)

    def _seal(self, copy: _Copy) -> None:
        """Seal the calls that are in the checkpoint as they are now."""
        for key, packed in copy.ended.items():
            tracked = self.calls.get(key)
            if tracked is not None and tracked.ended and key not in self._dirty:
                tracked.seal(packed)

    def _confirm(self, offset: int, marker: Marker) -> None:
        self._committed_offset = offset
        self._confirmed = marker
