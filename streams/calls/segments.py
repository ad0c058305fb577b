"""Long calls in the aggregate worker's checkpoints: their oldest rows are written once, in segments. Pure.

The record of a short call holds all its rows. Once a call has SEGMENT_ROWS that no segment holds, those of them that
came first become a segment: a record of its own, never changed, written in the transaction of the call's next snapshot.
The snapshot holds how many segments there are, a checksum over them, and the other rows. So what a checkpoint writes of
a call does not grow with it. All its records go in one transaction, too.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import msgspec

from streams.calls.call import MAX_ROWS, Call

SEGMENT_ROWS = 500

_MARK = "#"
"""Keys that begin so are those of segments: the name of a PBX does not."""


def segment_key(key: str, number: int) -> str:
    """The key on the checkpoints' topic of segment `number` (from 0) of the call `key`."""
    return f"{_MARK}{number}/{key}"


def segment_of(key: str) -> tuple[str, int] | None:
    """The call, and the number, that a key names as a segment's; None: it is the key of a call."""
    if not key.startswith(_MARK):
        return None
    number, _, call = key.partition("/")
    if not (number[1:].isascii() and number[1:].isdigit()):
        return None
    return call, int(number[1:])


def call_of(key: str) -> str:
    """The call that a record of the checkpoints is about, by its key."""
    segment = segment_of(key)
    return key if segment is None else segment[0]


class Segment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The value of a segment's record: releases that know no segments cannot read it as a call, and stop."""

    call: str
    number: int
    rows: bytes
    """Packed: see Call.packed."""

    def encode(self) -> bytes:
        """The value of its record on the checkpoints' topic."""
        return _encode(self)

    @classmethod
    def of(cls, key: str, value: bytes) -> "Segment":
        """The segment in the record of this key. Raises ValueError: damaged, or another one."""
        segment = _decode(value)
        if (segment.call, segment.number) != segment_of(key) or segment.number >= MAX_ROWS:
            raise ValueError(f"it is segment {segment.number} of call {segment.call!r}")
        return segment


class LongCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The rows of a long call, as they stand in its snapshot."""

    segments: int
    """How many of them hold its oldest rows."""
    rows: int
    """How many rows they hold."""
    checksum: int
    """Over all of them in their order (`checksum`)."""
    newest: bytes
    """The other rows, packed."""


def checksum(segments: Iterable[bytes], start: int = 0) -> int:
    """CRC-32 over packed rows; `start`: over those before."""
    return reduce(lambda value, each: zlib.crc32(each, value), segments, start)


class Segments(msgspec.Struct, gc=False):
    """The oldest rows of a long call in memory, packed. They came before all others, and never change."""

    packed: list[bytes] = []
    rows: int = 0
    checksum: int = 0
    written: int = 0
    """So many of them are in a checkpoint that was acknowledged."""

    def cut(self, call: Call, rows: int) -> bool:
        """Make the next segment of the call's rows, if so many are in none; whether it did."""
        if len(call) - self.rows < rows:
            return False
        packed = call.packed(call.arrived(self.rows, rows))
        self.packed.append(packed)
        self.rows += rows
        self.checksum = checksum((packed,), self.checksum)
        return True

    def head(self, newest: bytes) -> LongCall:
        """The rows for the call's snapshot; `newest`: those that are in no segment, packed."""
        return LongCall(len(self.packed), self.rows, self.checksum, newest)


@dataclass(slots=True)
class SegmentsRead:
    """The segments among the records of checkpoints."""

    by_call: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def add(self, key: str, value: bytes) -> bool:
        """Take a record; False (and nothing is taken) where it is a call's. Raises ValueError: it cannot be read."""
        place = segment_of(key)
        if place is None:
            return False
        call, number = place
        self.by_call.setdefault(call, {})[number] = Segment.of(key, value).rows
        return True

    @property
    def counts(self) -> dict[str, int]:
        """By call: the number after the last of its segments."""
        return {call: max(numbers) + 1 for call, numbers in self.by_call.items()}

    def of(self, key: str, head: LongCall) -> Segments:
        """Those that the snapshot of a call needs. Raises ValueError: some are missing, or are others."""
        found: Mapping[int, bytes] = self.by_call.get(key, {})
        missing = next((number for number in range(head.segments) if number not in found), None)
        if missing is not None:
            raise ValueError(f"segment {missing} of {head.segments} is missing")
        packed = [found[number] for number in range(head.segments)]
        if checksum(packed) != head.checksum:
            raise ValueError(f"its {head.segments} segments are not those that it was written with")
        return Segments(packed, head.rows, head.checksum, head.segments)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Segment).decode
