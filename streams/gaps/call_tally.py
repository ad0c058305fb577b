"""Highest id and number of different rows of each call on a partition, and what results show of them. Pure."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.calls.call import Version, version_number
from streams.errors import UserError

_ID_BITS = 43
"""Ids are smaller than this (streams/rows/row.py)."""
_ID = (1 << _ID_BITS) - 1
_MOST_CALLS = 1 << (64 - _ID_BITS)
_ROWS_BITS = 20
_ROWS = (1 << _ROWS_BITS) - 1


@dataclass(slots=True)
class CallTally:
    """The calls of one partition. Add every row, in any order and as often as it comes; then `finish`."""

    numbers: dict[int, int] = field(default_factory=dict)
    """Hash of a linkedid (in this process): the call's number."""
    _rows: "array[int]" = field(default_factory=lambda: array("Q"))
    _highest: "array[int]" = field(default_factory=lambda: array("Q"))
    _counts: "array[int]" = field(default_factory=lambda: array("L"))
    _shown: "array[int]" = field(default_factory=lambda: array("Q"))

    def add(self, linkedid: int, row_id: int) -> None:
        """Add a row; `linkedid`: the hash of its linkedid. Raises UserError: too many calls for one run."""
        number = self.numbers.setdefault(linkedid, len(self.numbers))
        if number >= _MOST_CALLS:
            raise UserError(
                f"a partition holds more than {_MOST_CALLS:,} calls", "Compare a part of them: --since, with a time."
            )
        self._rows.append(number << _ID_BITS | row_id)

    def finish(self) -> None:
        """Count; the rows themselves are let go."""
        rows, self._rows = sorted(set(self._rows)), array("Q")
        calls = len(self.numbers)
        self._highest, self._counts, self._shown = array("Q", bytes(8 * calls)), array("L", [0]) * calls, array("Q")
        self._shown.extend([0] * calls)
        for row in rows:  # in the order of ids within a call
            number = row >> _ID_BITS
            self._highest[number] = row & _ID
            self._counts[number] += 1

    def show(self, linkedid: int, version: Version) -> None:
        """Note that a result holds this version of a call; the highest one counts."""
        number = self.numbers.get(linkedid)
        if number is not None:
            self._shown[number] = max(self._shown[number], version_number(version))

    def rows_of(self, linkedid: int) -> Version:
        """Highest id and number of rows of a call; (0, 0): it has none."""
        number = self.numbers.get(linkedid)
        return (0, 0) if number is None else (self._highest[number], self._counts[number])

    def not_shown(self) -> Iterator[int]:
        """Hashes of the linkedids of which no result holds all rows."""
        for linkedid, number in self.numbers.items():
            shown = self._shown[number]
            if not covers((shown >> _ROWS_BITS, shown & _ROWS), (self._highest[number], self._counts[number])):
                yield linkedid


def covers(version: Version, rows: Version) -> bool:
    """Whether a version holds all of these rows: as high an id, and as many."""
    return version[0] >= rows[0] and version[1] >= min(rows[1], _ROWS)
