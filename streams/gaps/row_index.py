"""(id, uniqueid) of many rows in little memory: 8 bytes each, where ids lie close. Pure.

Ids alone do not tell rows apart: they start again after a TRUNCATE.
"""

from array import array
from dataclasses import dataclass, field

_LOW_BITS = 16
"""Ids that share all but these bits stand in one block."""
_LOW = (1 << _LOW_BITS) - 1
_HASH_BITS = 48
_HASH = (1 << _HASH_BITS) - 1


def channel_hash(uniqueid: str | bytes | None) -> int:
    """A number of 48 bits for a uniqueid, the same in this process only.

    Of its ASCII letters alone: bytes outside of it may be decoded in one way by the database's driver and in another
    by Debezium, and padding at the end is stripped by some.
    """
    text = uniqueid.decode("ascii", "ignore") if isinstance(uniqueid, bytes) else str(uniqueid or "")
    if not text.isascii():
        text = text.encode("ascii", "ignore").decode()
    return hash(text.rstrip(" \0")) & _HASH


@dataclass(slots=True)
class RowIndex:
    """A set of (id, channel hash). Two channels of one id are taken for one another once in 2**48."""

    _blocks: dict[int, "array[int]"] = field(default_factory=dict)
    _at_hand: tuple[int, frozenset[int]] = (-1, frozenset())
    """The block that was asked last, for questions come in the order of ids."""

    def add(self, row_id: int, channel: int) -> None:
        """Add a row; `channel`: `channel_hash` of its uniqueid."""
        block = self._blocks.get(row_id >> _LOW_BITS)
        if block is None:
            block = self._blocks[row_id >> _LOW_BITS] = array("Q")
        block.append((row_id & _LOW) << _HASH_BITS | channel)
        if self._at_hand[0] == row_id >> _LOW_BITS:
            self._at_hand = (-1, frozenset())

    def has(self, row_id: int, channel: int) -> bool:
        """Whether the row was added. Fast where questions come in the order of ids."""
        number = row_id >> _LOW_BITS
        if self._at_hand[0] != number:
            self._at_hand = (number, frozenset(self._blocks.get(number, ())))
        return ((row_id & _LOW) << _HASH_BITS | channel) in self._at_hand[1]
