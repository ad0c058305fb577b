"""A table of 64-bit numbers by the hash of a call's id or key: 8 bytes for each number, and 12 to 16 beside."""

from array import array

_MASK_64 = (1 << 64) - 1


def key_hash(key: bytes) -> int:
    """64 bits; the same for equal keys in this process, and in no other."""
    return hash(key) & _MASK_64


class CallIndex:
    """Grows by doubling; nothing is ever taken out. Two of a million keys share a hash once in ten million times."""

    __slots__ = ("_keys", "_mask", "_slots", "columns")

    def __init__(self, columns: int) -> None:
        """`columns`: numbers that are kept of each key, 0 at first."""
        self.columns = tuple(array("Q") for _ in range(columns))
        self._keys = array("Q")
        self._slots = array("I", bytes(4 * 1024))
        self._mask = len(self._slots) - 1

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def bytes_held(self) -> int:
        """Memory of its arrays."""
        return sum(len(each) * each.itemsize for each in (*self.columns, self._keys, self._slots))

    def find(self, key: int) -> int | None:
        """The place of a key in the columns; None: it is not there."""
        slots, mask, keys = self._slots, self._mask, self._keys
        slot = key & mask
        while number := slots[slot]:
            if keys[number - 1] == key:
                return number - 1
            slot = slot + 1 & mask
        return None

    def place(self, key: int) -> int:
        """The place of a key in the columns, which is made for one that is not there."""
        slots, mask, keys = self._slots, self._mask, self._keys
        slot = key & mask
        while number := slots[slot]:
            if keys[number - 1] == key:
                return number - 1
            slot = slot + 1 & mask
        keys.append(key)
        for column in self.columns:
            column.append(0)
        slots[slot] = len(keys)
        if len(keys) * 3 > len(slots) * 2:
            self._grow()
        return len(keys) - 1

    def _grow(self) -> None:
        size = 2 * len(self._slots)
        slots, mask = array("I", bytes(4 * size)), size - 1
        for number, key in enumerate(self._keys, start=1):
            slot = key & mask
            while slots[slot]:
                slot = slot + 1 & mask
            slots[slot] = number
        self._slots, self._mask = slots, mask
