"""A call: the CEL rows of one linkedid, taken in any order, and whether it has ended."""

import zlib
from collections.abc import Iterable
from enum import IntEnum
from itertools import islice

import msgspec
from msgspec.structs import astuple

from streams.calls.channel_name import is_helper
from streams.rows.row import COLUMNS, CelRow

Version = tuple[int, int]
"""Highest row id, number of rows. Ids can commit out of order, so neither alone tells two states apart."""

MAX_ROWS = 100_000
"""A call with more rows is damage, or days of a conference: the rest would only take memory, and time to judge."""

_COLUMNS = slice(len(COLUMNS))
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[str, str, list[tuple[int | str, ...]]])


def call_id(pbx: str, linkedid: str) -> str:
    """The id of a call on every topic."""
    return f"{pbx}/{linkedid}"


def epoch_of(uniqueid: str) -> int | None:
    """The UTC second in which a channel was made, from its uniqueid (`systemname-1795389780.12`).

    None where it holds none. What follows the dot is a counter, not a fraction.
    """
    seconds = uniqueid.rpartition("-")[2].partition(".")[0]
    if len(seconds) != 10 or not (seconds.isascii() and seconds.isdigit()):
        return None
    return int(seconds)


def age_of(uniqueid: str) -> tuple[int, int]:
    """Sort key of uniqueids, oldest channel first: the second when it was made, then the counter behind the dot."""
    counter = uniqueid.rpartition(".")[2]
    return epoch_of(uniqueid) or 0, int(counter) if counter.isascii() and counter.isdigit() else 0


def version_number(version: Version) -> int:
    """A version as one long that rises with the pair, for readers that keep the highest."""
    row_id, rows = version
    return row_id << 20 | min(rows, (1 << 20) - 1)


class End(IntEnum):
    """The end of a call, as its rows show it. The numbers stand in checkpoints."""

    NOT_SEEN = 0
    CHANNELS = 1
    """Every channel that the rows show has its CHAN_END."""
    LINKEDID = 2
    """LINKEDID_END was seen."""


class Call:
    """The rows of one linkedid seen so far. The order in which they come makes no difference."""

    __slots__ = ("_ended", "_rows", "_seen", "linkedid", "linkedid_end", "pbx", "unreadable_rows")

    def __init__(self, pbx: str, linkedid: str) -> None:
        self.pbx = pbx
        self.linkedid = linkedid
        self.linkedid_end = False
        """LINKEDID_END was seen: Asterisk says that the call is over."""
        self.unreadable_rows = 0
        """Rows that are known to be of this call, or may be, and could not be read. Not part of a snapshot."""
        self._rows: dict[int, CelRow] = {}
        self._seen: set[str] = set()
        self._ended: set[str] = set()

    @property
    def call_id(self) -> str:
        """`<pbx>/<linkedid>`."""
        return call_id(self.pbx, self.linkedid)

    def knows(self, row_id: int) -> bool:
        """Whether the call holds a row of this id."""
        return row_id in self._rows

    def add(self, row: CelRow) -> bool:
        """Add a row; False (and nothing changes) where its id is known."""
        if row.id in self._rows:
            return False
        self._rows[row.id] = row
        event = row.eventtype
        if event == "LINKEDID_END":
            self.linkedid_end = True
        elif event == "CHAN_END":
            self._ended.add(row.uniqueid)
            self._seen.add(row.uniqueid)
        elif row.uniqueid not in self._seen and not is_helper(row.channame):
            self._seen.add(row.uniqueid)
        return True

    @property
    def channels_ended(self) -> bool:
        """Whether every channel that the rows show has its CHAN_END (Asterisk's own helpers never get one)."""
        return bool(self._rows) and len(self._seen) == len(self._ended)  # those that ended were seen

    @property
    def end(self) -> End:
        """How far the rows show that the call is over."""
        if self.linkedid_end:
            return End.LINKEDID
        return End.CHANNELS if self.channels_ended else End.NOT_SEEN

    @property
    def ended(self) -> bool:
        """Whether the rows show that the call is over."""
        return self.linkedid_end or self.channels_ended

    @property
    def full(self) -> bool:
        """Whether the call takes no more rows but those of its end."""
        return len(self._rows) >= MAX_ROWS

    @property
    def version(self) -> Version:
        """The rows that the call holds, as far as one pair can say."""
        return max(self._rows, default=0), len(self._rows)

    @property
    def rows(self) -> list[CelRow]:
        """The rows in the order of their ids."""
        return list(map(self._rows.__getitem__, sorted(self._rows)))

    def __len__(self) -> int:
        """How many rows it holds."""
        return len(self._rows)

    def arrived(self, first: int, count: int | None = None) -> list[CelRow]:
        """Rows in the order in which they came, from number `first` on (from 0); a look at these and later ones."""
        newest = list(islice(reversed(self._rows.values()), max(0, len(self._rows) - first)))
        newest.reverse()
        return newest[:count]

    def packed(self, rows: Iterable[CelRow]) -> bytes:
        """Rows of this call for a checkpoint: `add_packed` reads them."""
        cells = [astuple(row)[_COLUMNS] for row in rows]
        return zlib.compress(_ENCODER.encode((self.pbx, self.linkedid, cells)), 1)

    def to_bytes(self) -> bytes:
        """All rows for a checkpoint: the same rows give the same bytes."""
        return self.packed(self.rows)

    @classmethod
    def from_bytes(cls, *packed: bytes) -> "Call":
        """The call of packed rows, in one piece or several. Equal texts of its rows are one.

        Raises ValueError, TypeError or zlib.error where they are none, or of different calls.
        """
        call, cells = None, dict[int | str, int | str]()
        for piece in packed:
            pbx, linkedid, rows = _DECODER.decode(zlib.decompress(piece))
            if call is None:
                call = cls(pbx, linkedid)
            elif (call.pbx, call.linkedid) != (pbx, linkedid):
                raise ValueError(f"rows of call {call_id(pbx, linkedid)} among those of {call.call_id}")
            for columns in rows:
                call.add(CelRow(*map(cells.setdefault, columns, columns)))  # type: ignore[arg-type]  # by COLUMNS
        if call is None:
            raise ValueError("no rows")
        return call
