"""A table of finished calls: four numbers by the call's key, about 80 bytes a call with a key of 20 bytes.

Bytes, not objects: an object a call would take three times the memory, and the garbage collector would look at it. The
keys themselves are kept, so that no two calls are ever taken for one.
"""

from array import array
from struct import Struct
from typing import NamedTuple

from streams.clock import UtcMicros

_SHARD_BITS = 3
_SHARDS = 1 << _SHARD_BITS
"""Tables by a part of the key's hash: each is made anew alone when it grows, in milliseconds."""
_SHARD = _SHARDS - 1
_FEW_SLOTS = 16

_ENTRY = Struct("=qqqqI")
"""Version, correction, time of the last change, place in the log (-1: the entry is dead), length of the key; the key
stands behind."""
_SIZE = _ENTRY.size
_PLACE = Struct("=q")
_PLACE_AT = 24
"""Where the place stands in an entry."""
_DEAD = -1
_FEW_DEAD = 16

_HASH_BITS = 0xFFFFFFFF
"""A slot holds so much of the key's hash, and in the 32 bits below the position of its entry."""
_POSITION = 0xFFFFFFFF


class FinishedCall(NamedTuple):
    """What is kept of a call."""

    version: int
    correction: int
    updated_at: UtcMicros
    place: int
    """Offset of its last record in the log."""


class FinishedCalls:
    """Finished calls by key, in the order in which they were put."""

    def __init__(self) -> None:
        self._shards = tuple(_Shard() for _ in range(_SHARDS))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, key: bytes, version: int, correction: int, updated_at: UtcMicros, place: int) -> None:
        """Keep a call, behind all others; what was kept of it is replaced."""
        hashed = hash(key)
        if self._shards[hashed & _SHARD].put(hashed, key, version, correction, updated_at, place):
            self._count += 1

    def get(self, key: bytes) -> FinishedCall | None:
        """What is kept of a call; None: nothing."""
        hashed = hash(key)
        return self._shards[hashed & _SHARD].get(hashed, key)

    def remove(self, key: bytes) -> bool:
        """Drop a call; whether it was there."""
        hashed = hash(key)
        removed = self._shards[hashed & _SHARD].remove(hashed, key)
        self._count -= removed
        return removed

    def pop_ended(self, before: UtcMicros) -> list[bytes]:
        """Drop the calls that changed last before a time; their keys.

        Of one that was put before another but changed later, the other stays until its own turn.
        """
        old = [key for shard in self._shards for key in shard.pop_ended(before)]
        self._count -= len(old)
        return old

    @property
    def bytes_held(self) -> int:
        """Memory of the tables."""
        return sum(shard.bytes_held for shard in self._shards)


class _Shard:
    """A hash table with open addressing: slots hold positions of entries, entries stand one behind the other."""

    __slots__ = ("_dead", "_entries", "_first", "_live", "_mask", "_slots", "_used")

    def __init__(self) -> None:
        self._clear(_FEW_SLOTS)

    def _clear(self, slots: int) -> None:
        self._slots = array("Q", bytes(8 * slots))
        """0: empty."""
        self._mask = slots - 1
        self._used = 0
        """Slots that are not empty: of dead entries too, behind which others may be found."""
        self._entries = bytearray(1)
        self._first = 1
        """No live entry stands before this position."""
        self._live = 0
        self._dead = 0

    @property
    def bytes_held(self) -> int:
        return len(self._slots) * self._slots.itemsize + len(self._entries)

    def put(self, hashed: int, key: bytes, version: int, correction: int, updated_at: UtcMicros, place: int) -> bool:
        """Whether the call was not there."""
        slots, mask, entries = self._slots, self._mask, self._entries
        tag = hashed >> _SHARD_BITS & _HASH_BITS
        slot, new = tag & mask, True
        while found := slots[slot]:
            if found >> 32 == tag and self._is_of(found & _POSITION, key):
                new = not self._kill(found & _POSITION)
                break
            slot = slot + 1 & mask
        else:
            self._used += 1
        slots[slot] = tag << 32 | len(entries)
        entries += _ENTRY.pack(version, correction, updated_at, place, len(key)) + key
        self._live += 1
        if self._dead > self._live + _FEW_DEAD:
            self._drop_dead()
        elif 3 * self._used > 2 * mask:
            self._grow()
        return new

    def get(self, hashed: int, key: bytes) -> FinishedCall | None:
        if not (at := self._find(hashed, key)):
            return None
        found = FinishedCall(*_ENTRY.unpack_from(self._entries, at)[:4])
        return None if found.place == _DEAD else found

    def remove(self, hashed: int, key: bytes) -> bool:
        if not (at := self._find(hashed, key)) or not self._kill(at):
            return False
        if self._dead > self._live + _FEW_DEAD:
            self._drop_dead()
        return True

    def pop_ended(self, before: UtcMicros) -> list[bytes]:
        keys, at, entries = [], self._first, self._entries
        while at < len(entries):
            _, _, updated_at, place, size = _ENTRY.unpack_from(entries, at)
            if place != _DEAD:
                if updated_at >= before:
                    break  # those behind it ended later
                keys.append(bytes(entries[at + _SIZE : at + _SIZE + size]))
                self._kill(at)
            at += _SIZE + size
        self._first = at
        if self._dead > self._live + _FEW_DEAD:
            self._drop_dead()
        return keys

    def _find(self, hashed: int, key: bytes) -> int:
        """Position of a key's entry, which may be dead; 0: there is none."""
        slots, mask = self._slots, self._mask
        tag = hashed >> _SHARD_BITS & _HASH_BITS
        slot = tag & mask
        while found := slots[slot]:
            if found >> 32 == tag and self._is_of(found & _POSITION, key):
                return found & _POSITION
            slot = slot + 1 & mask
        return 0

    def _is_of(self, at: int, key: bytes) -> bool:
        size = _ENTRY.unpack_from(self._entries, at)[4]
        return self._entries[at + _SIZE : at + _SIZE + size] == key

    def _kill(self, at: int) -> bool:
        """Whether the entry lived; it stays where it is."""
        if _ENTRY.unpack_from(self._entries, at)[3] == _DEAD:
            return False
        _PLACE.pack_into(self._entries, at + _PLACE_AT, _DEAD)
        self._live -= 1
        self._dead += 1
        return True

    def _grow(self) -> None:
        old = self._slots
        slots, mask = array("Q", bytes(16 * len(old))), 2 * len(old) - 1
        for found in old:
            if found:
                slot = found >> 32 & mask
                while slots[slot]:
                    slot = slot + 1 & mask
                slots[slot] = found
        self._slots, self._mask = slots, mask

    def _drop_dead(self) -> None:
        old, at, live, slots = self._entries, self._first, self._live, _FEW_SLOTS
        while slots < 2 * live:
            slots *= 2
        self._clear(slots)
        while at < len(old):
            *numbers, size = _ENTRY.unpack_from(old, at)
            if numbers[3] != _DEAD:
                key = bytes(old[at + _SIZE : at + _SIZE + size])
                self.put(hash(key), key, *numbers)
            at += _SIZE + size
