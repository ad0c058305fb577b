"""A call in the aggregate worker's checkpoints, as the worker writes it, and as commands see whether it can be read."""

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import astuple

from streams.calls.call import Call, End
from streams.calls.missing_rows import Missing
from streams.calls.segments import LongCall, Segment, Segments, SegmentsRead, segment_of


class UnreadableSnapshot(ValueError):
    """A value in the checkpoints is not the snapshot of a call."""

    def __init__(self, key: str, error: Exception) -> None:
        """`key`: of the record that is to blame, a call's or a segment's."""
        super().__init__(f"not a snapshot of a call ({type(error).__name__}: {error})")
        self.key = key


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A call in the checkpoints: its state, and the offset before which its rows are in it.

    Stream time is not repeated here: the marker holds it, and it must never be taken from anywhere else (a group whose
    offsets were lost starts at an early offset, where every row is too late for the time of a recent snapshot).
    """

    covered_offset: int
    last_row_ms: int
    ended: bool
    backfilled: bool
    call: bytes | LongCall
    """Its rows, packed; of a long call those that no segment holds. Releases that know no segments stop at it."""
    missing: Missing = Missing.NOTHING
    """Not in the snapshots of 0.1.0."""
    pbx: str = ""
    """Of the call. Empty, as `end` has no meaning, in snapshots of before it was told: unpack the call then."""
    end: End = End.NOT_SEEN
    begun_offset: int = -1
    """Where the copy began that it is of, if that is before `covered_offset`: of other calls the checkpoints may hold
    the rows before this one only. -1, and not written, where both are one."""

    def encode(self) -> bytes:
        """The value of its record on the checkpoints' topic."""
        return _encode(astuple(self)[:-1] if self.begun_offset < 0 else self)

    @property
    def complete_offset(self) -> int:
        """Every row before it is in the checkpoints, of whatever call."""
        return self.covered_offset if self.begun_offset < 0 else self.begun_offset

    @classmethod
    def of(cls, key: str, value: bytes) -> "Snapshot":
        """The snapshot of the call `key`. Raises UnreadableSnapshot."""
        try:
            return _decode(value)
        except msgspec.MsgspecError as error:
            raise UnreadableSnapshot(key, error) from None

    @property
    def newest(self) -> bytes:
        """Its packed rows but those in segments."""
        return self.call.newest if isinstance(self.call, LongCall) else self.call


class CheckpointedCall(NamedTuple):
    """A call as the records of the checkpoints tell it."""

    snapshot: Snapshot
    segments: Segments | None
    """The segments that the snapshot needs; None: the call is a short one."""

    def restored_call(self, key: str) -> Call:
        """The rows of the call `key`. Raises UnreadableSnapshot."""
        return unpacked(key, self.snapshot.newest, self.segments)


def checkpointed(values: Mapping[str, bytes]) -> tuple[dict[str, CheckpointedCall], dict[str, int]]:
    """The calls in checkpoints, and how many segments of each stand there: as many, or more.

    `values`: the last record of each key. Raises UnreadableSnapshot: a record cannot be read, a segment of a call is
    missing or another call's.
    """
    segments, snapshots = SegmentsRead(), dict[str, Snapshot]()
    for key, value in values.items():
        try:
            if not segments.add(key, value):
                snapshots[key] = Snapshot.of(key, value)
        except UnreadableSnapshot:
            raise
        except ValueError as error:
            raise UnreadableSnapshot(key, error) from None
    calls = dict[str, CheckpointedCall]()
    for key, snapshot in snapshots.items():
        try:
            needed = segments.of(key, snapshot.call) if isinstance(snapshot.call, LongCall) else None
        except ValueError as error:
            raise UnreadableSnapshot(key, error) from None
        calls[key] = CheckpointedCall(snapshot, needed)
    return calls, segments.counts


def is_long(value: bytes) -> bool:
    """Whether this is the snapshot of a long call, which is nothing without its segments."""
    try:
        return isinstance(_decode(value).call, LongCall)
    except msgspec.MsgspecError:
        return False


def check_readable(key: str, value: bytes) -> None:
    """Look whether a record of the checkpoints can be read by itself. Raises UnreadableSnapshot."""
    if segment_of(key) is None:
        Snapshot.of(key, value)
        return
    try:
        Segment.of(key, value)
    except ValueError as error:
        raise UnreadableSnapshot(key, error) from None


def unpacked(key: str, newest: bytes, segments: Segments | None = None) -> Call:
    """The call `key` from its packed rows. Raises UnreadableSnapshot."""
    try:
        call = Call.from_bytes(*(segments.packed if segments else ()), newest)
        if segments and len(call) < segments.rows:
            raise ValueError(f"{len(call)} rows instead of at least {segments.rows}")
        return call
    except (ValueError, TypeError, zlib.error) as error:  # msgspec's errors are ValueErrors
        raise UnreadableSnapshot(key, error) from None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode
