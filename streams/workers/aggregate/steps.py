"""The words between a partition's pure state and its driver: what a row did, and what is to be done outside.

`restore` and `PartitionState.checkpoint` (partition_state.py) are generators: they yield a step, their driver
(take_over.py, assigned_partition.py) carries it out and sends its answer back.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from streams.calls.call import Call, End
from streams.dead_letter_reasons import DeadLetterReason
from streams.rows.row import CapturedRow
from streams.settings import AggregateSettings
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.tracked_call import TrackedCall

_BACKFILL_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits: after which a call has ended, and how long it takes late rows (milliseconds)."""

    settle_ms: int
    """After LINKEDID_END: its transaction may hold further rows of the call."""
    quiet_ms: int
    time_limit_ms: int
    grace_ms: int
    backfill_grace_ms: int
    """Instead of `grace_ms` for a call that was backfilled up to its LINKEDID_END. A backfill reads in the order of
    ids, so what comes after it is little; and at a backfill's speed the whole grace time would fill the memory."""

    @classmethod
    def of(cls, settings: AggregateSettings) -> "Limits":
        """From the settings, which are in seconds."""
        return cls(
            settle_ms=round(settings.settle_seconds * 1000),
            quiet_ms=round(settings.quiet_seconds * 1000),
            time_limit_ms=round(settings.time_limit_seconds * 1000),
            grace_ms=round(settings.grace_seconds * 1000),
            backfill_grace_ms=round(min(settings.grace_seconds, _BACKFILL_GRACE_SECONDS) * 1000),
        )

    def wait_ms(self, end: End) -> int:
        """Milliseconds without a row that end a call whose rows show this of its end."""
        if end is End.LINKEDID:
            return self.settle_ms
        return self.quiet_ms if end is End.CHANNELS else self.time_limit_ms

    def whole_wait_ms(self, tracked: TrackedCall) -> int:
        """The same; a call that may lack rows waits longer, for the rest of a backfill."""
        wait = self.wait_ms(tracked.end)
        return max(wait, self.backfill_grace_ms) if tracked.missing.waits else wait


class CallEnded(NamedTuple):
    """A call ended, or got a new row after its end: classify it now, for it may change with the next row."""

    call: Call
    cut_short: bool
    backfilled: bool


class CallWithheld(NamedTuple):
    """A call ended of which rows may be lost: a result from the others would be wrong. A backfill brings it."""

    call: Call
    never_captured: bool = False
    """Its first rows are not on the topic; else they may be among those that were lost there."""


class RowRefused(NamedTuple):
    """The row would make a wrong result, or one without end: it belongs to the dead letters."""

    call_id: str
    explanation: str
    reason: DeadLetterReason = DeadLetterReason.LATE_ROW


Ended = CallEnded | CallWithheld
RowEffect = Ended | RowRefused


class Fence(NamedTuple):
    """Make every earlier owner's writes to this partition's checkpoints fail from now on."""


class ReadCommitted(NamedTuple):
    """Answer: the group's committed offset and its metadata, or None."""


class ReadSnapshots(NamedTuple):
    """Read the partition's checkpoints to their end, committed transactions only. Answer: the last value of each
    key."""


class ReplayedPartition(Protocol):
    """The state that is being restored, as a replay feeds it."""

    def replay(self, offset: int, captured: CapturedRow) -> None:
        """Take a row from before the committed offset."""
        ...

    def skip(self, offset: int) -> None:
        """Pass over a record that is not a row."""
        ...

    def lose(self, next_offset: int) -> None:
        """Rows before `next_offset` that were not taken are lost."""
        ...


class Replay(NamedTuple):
    """Feed the rows start <= offset < end to `partition.replay`, or `partition.skip` for unreadable ones.

    Rows that the topic does not hold any more are to be told, and given to `partition.lose`, in their place.
    """

    partition: ReplayedPartition
    start: int
    end: int


class PassedOver(NamedTuple):
    """The group's offset was set by hand, or is not there: as far as the checkpoints tell, the rows
    start <= offset < end were never taken."""

    start: int
    end: int


class ReadEnd(NamedTuple):
    """Answer: the offset after the topic's last row now, after waiting a moment for it to reach `expected`: rows may
    have come since it was asked, and a broker that has just begun to lead the partition may know it late."""

    expected: int


class TopicMadeAgain(NamedTuple):
    """The checkpoints are ahead of the topic's end: it was made again, or lost its end, and nobody knows which rows of
    before were never taken. Those that it holds are taken from `start` on."""

    start: int


class AwaitSent(NamedTuple):
    """Wait for the broker's answer on every result and dead letter sent so far. One that failed ends the process."""


class GiveWay(NamedTuple):
    """Others may have their turn now: rows may be taken before the next step. Answer: of no matter."""


class WriteSnapshots(NamedTuple):
    """Write all in one transaction and await it. Answer: whether all were acknowledged. Fenced: end the process.

    The list is the driver's own."""

    records: list[tuple[str, bytes | None]]


class Commit(NamedTuple):
    """Commit the offset with the marker as its metadata. Answer: whether the broker confirmed it."""

    offset: int
    marker: Marker


RestoreStep = Fence | ReadCommitted | ReadSnapshots | ReadEnd | PassedOver | TopicMadeAgain | Replay
CheckpointStep = GiveWay | AwaitSent | WriteSnapshots | Commit
