"""A call that the aggregate worker remembers, and its snapshot in the checkpoints."""

import zlib
from dataclasses import dataclass

import msgspec

from streams.calls.call import Call
from streams.rows.row import CapturedRow
from streams.workers.aggregate.lost_rows import Missing


@dataclass(slots=True)
class TrackedCall:
    """A call that the worker remembers: it is open, or its grace time still runs."""

    call: Call
    opened_at_ms: int | None
    """Time at which its channel was made, by its linkedid (Unix milliseconds); None where the linkedid does not tell
    (or tells the future)."""
    last_row_ms: int = 0
    """Stream time at its last new row (Unix milliseconds)."""
    ended: bool = False
    backfilled: bool = True
    """True while every row came from a snapshot of the table, none live."""
    covered_offset: int = 0
    """The snapshot that it was restored from says what became of rows before this offset, which may be ahead of the
    committed one: they are in it, or they were refused and must not come in now because the call is known by now."""
    missing: Missing = Missing.NOTHING
    """Whether rows of it may have been lost."""

    def row_came(self, row: CapturedRow, *, new: bool) -> None:
        """Note by which way a row came: a new one, or a known one that a backfill brings again."""
        missing = self.missing.after_row(row, new=new)
        if row.op != "r":
            self.backfilled = False
        elif self.missing.withholds and not missing.waits:
            self.backfilled = True  # read to its end, but nobody saw its beginning: no CRM shows it unasked
        self.missing = missing


class UnreadableSnapshot(ValueError):
    """A value in the checkpoints is not the snapshot of a call."""

    def __init__(self, key: str, error: Exception) -> None:
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
    call: bytes
    missing: Missing = Missing.NOTHING
    """Not in the snapshots of 0.1.0."""

    def encode(self) -> bytes:
        """The value of its record on the checkpoints' topic."""
        return _encode(self)

    @classmethod
    def of(cls, key: str, value: bytes) -> "Snapshot":
        """The snapshot of the call `key`. Raises UnreadableSnapshot."""
        try:
            return _decode(value)
        except msgspec.MsgspecError as error:
            raise UnreadableSnapshot(key, error) from None

    def restored_call(self, key: str) -> Call:
        """The call in the snapshot of the call `key`. Raises UnreadableSnapshot."""
        try:
            return Call.from_bytes(self.call)
        except (ValueError, TypeError, zlib.error) as error:  # msgspec's errors are ValueErrors
            raise UnreadableSnapshot(key, error) from None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode
