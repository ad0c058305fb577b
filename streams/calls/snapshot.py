"""A call in the aggregate worker's checkpoints, as the worker writes it, and as commands see whether it can be read."""

import zlib

import msgspec

from streams.calls.call import Call, End
from streams.calls.missing_rows import Missing


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
    pbx: str = ""
    """Of the call. Empty, as `end` has no meaning, in snapshots of before it was told: unpack the call then."""
    end: End = End.NOT_SEEN

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
        return unpacked(key, self.call)


def unpacked(key: str, packed: bytes) -> Call:
    """The call `key` from its packed rows. Raises UnreadableSnapshot."""
    try:
        return Call.from_bytes(packed)
    except (ValueError, TypeError, zlib.error) as error:  # msgspec's errors are ValueErrors
        raise UnreadableSnapshot(key, error) from None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode
