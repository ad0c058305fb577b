"""From the PBX's wall clock to UTC, row by row.

`uniqueid` starts with the UTC second in which the channel was made, so CHAN_START tells the offset of the wall clock
(docs/call-status.md). A configured zone is checked against it and tells about a change of the clocks within a call.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from streams.calls.call import epoch_of
from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.rows.eventtime import lacks_seconds, wall_micros
from streams.rows.row import CelRow

_QUARTER = 900
_MINUTE = 60 * MICROS_PER_SECOND
_MAX_OFFSET = 15 * 3600
_MAX_LATE = 120
"""Seconds by which a row may be logged after its channel was made and still tell the offset."""
_FOLD = 1800
"""Rows are at most a second or so out of order: going back by more than this many seconds, the clocks went back."""
_FOLD_MICROS = _FOLD * MICROS_PER_SECOND


class Timeline:
    """Gives each row of one call, in the order of ids, its instant in UTC microseconds."""

    __slots__ = ("_last_utc", "_readable", "_sure", "_zone", "coarse", "disagrees", "offset", "source", "unreadable")

    def __init__(self, zone: str | None) -> None:
        self._zone = ZoneInfo(zone) if zone else None
        self._readable = False
        """Some row's time could be read."""
        self._last_utc: int | None = None
        self._sure = False
        self.offset = 0
        """Seconds that the PBX's clock is ahead of UTC."""
        self.source = "assumed"
        self.disagrees = False
        """The configured zone has another offset than the rows show."""
        self.unreadable = False
        """The time of some row cannot be read."""
        self.coarse = False
        """Times tell no seconds."""

    @property
    def measures(self) -> bool:
        """Whether spans of time can be told by the rows."""
        return not self.coarse and (self._readable or not self.unreadable)

    def instants(self, rows: list[CelRow]) -> list[UtcMicros]:
        """The instant of each of a call's rows."""
        found = list[UtcMicros]()
        text, now = None, 0
        for row in rows:
            if row.eventtime != text or row.eventtype == "CHAN_START":
                text, now = row.eventtime, self.instant(row)
                if self.unreadable and not found:
                    now = self._begin(rows)
            found.append(now)
        return found

    def _begin(self, rows: list[CelRow]) -> UtcMicros:
        """Take first rows whose time cannot be read to be of the call's epoch, else of the first time that can."""
        if epoch := epoch_of(rows[0].linkedid):
            self._last_utc = epoch * MICROS_PER_SECOND
        elif (readable := next((row for row in rows if wall_micros(row.eventtime) is not None), None)) is not None:
            self._last_utc = self.instant(readable)
        return self._last_utc or 0

    def instant(self, row: CelRow) -> int:
        """UTC microseconds of a row; a time that cannot be read is the row's before it."""
        wall = wall_micros(row.eventtime)
        if wall is None:
            self.unreadable = True
            return self._last_utc or 0  # none of the call's times can be read
        if row.eventtype == "CHAN_START" or not self._sure:
            self._learn(row, wall)
        if not wall % _MINUTE and lacks_seconds(row.eventtime):
            self.coarse = True
        utc = wall - self.offset * MICROS_PER_SECOND
        if self._last_utc is not None and self._last_utc - utc > _FOLD_MICROS:
            utc = self._clocks_went_back(wall, utc, self._last_utc)
        elif self._zone is not None and self.source == "timezone" and self._sure:
            utc = self._by_zone(wall, utc, self._zone)
        self._readable, self._last_utc = True, utc
        return utc

    def _learn(self, row: CelRow, wall: int) -> None:
        epoch = epoch_of(row.uniqueid)
        if epoch is not None:
            late = wall // MICROS_PER_SECOND - epoch
            if self.source == "uniqueid" and -2 <= late - self.offset <= _MAX_LATE:
                return  # as known
            offset = round(late / _QUARTER) * _QUARTER
            if abs(offset) <= _MAX_OFFSET and -2 <= late - offset <= _MAX_LATE:
                self.offset, self.source, self._sure = offset, "uniqueid", True
                if self._zone is not None:
                    zoned = _offset(self._zone, wall // MICROS_PER_SECOND - offset)
                    self.disagrees = self.disagrees or zoned != offset
                    if not self.disagrees:
                        self.source = "timezone"
                return
        if self._zone is not None and not self._sure:
            # Of an hour that comes twice, the first: the rows cannot say which.
            local = datetime.fromtimestamp(wall // MICROS_PER_SECOND, UTC).replace(tzinfo=self._zone)
            self.offset = int((local.utcoffset() or timedelta()).total_seconds())
            self.source = "timezone"

    def _by_zone(self, wall: int, utc: int, zone: ZoneInfo) -> int:
        offset = _offset(zone, utc // MICROS_PER_SECOND)
        if offset != self.offset and _offset(zone, wall // MICROS_PER_SECOND - offset) == offset:
            self.offset = offset
            return wall - offset * MICROS_PER_SECOND
        return utc

    def _clocks_went_back(self, wall: int, utc: int, last_utc: int) -> int:
        back = round((last_utc - utc) / MICROS_PER_SECOND / _FOLD) * _FOLD
        if back > 2 * 3600:
            return last_utc  # no change of clocks: a damaged time, or a row of long ago
        self.offset -= back
        return wall - self.offset * MICROS_PER_SECOND


def _offset(zone: ZoneInfo, utc_seconds: int) -> int:
    offset = datetime.fromtimestamp(utc_seconds, zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0
