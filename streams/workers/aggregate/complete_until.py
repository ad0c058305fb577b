"""Until when the calls of a partition are complete on the results' topic. Pure: no Kafka, no clock.

A mark of capture says: whatever the PBX's database had committed at H stands before these ends. Once the partition's
position is there, each of those calls has ended, and what came of it was handed to the producer, or it is open, and
holds the time back to its beginning. What was handed over has to be acknowledged before the time is told.

A heartbeat of Debezium is no such mark: its time is the clock of Kafka Connect when it was made, also while the
connector reads what was committed hours before.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streams.calls.capture_mark import CaptureMark
from streams.clock import UtcMillis

ROW_DELAY_MS = 60_000
"""A call's first row is in the table so soon after the call began: Asterisk's clock and the database's may differ, and
Asterisk may wait for the database. Rows that come later than that make a call that was said to be there already."""

_BEFORE_LINKEDID_MS = 2_000
"""A row's time may be before the second in its linkedid by so much (calls/timeline.py)."""


class OpenSince(NamedTuple):
    """The open call of a PBX that began first."""

    call_id: str
    opened_at_ms: UtcMillis | None
    """None: its linkedid does not tell."""


class Told(NamedTuple):
    """What stands on the topic about a PBX."""

    until_ms: UtcMillis
    captured_ms: UtcMillis


class Complete(NamedTuple):
    """What is to be told about a PBX, as soon as all that was sent is acknowledged."""

    pbx: str
    until_ms: UtcMillis
    captured_ms: UtcMillis
    held_by: str | None
    set_back: bool = False
    """It may be earlier than what was told: the clock of the PBX's database was set back."""


class Completeness:
    """Until when one partition is complete, by PBX.

    The time rises. It goes back only where the newest mark is of an earlier clock than one that was told: the clock of
    that PBX's database was set back. Rows that come twice, set-back offsets and new owners take nothing away from the
    topic, so that they do not move it.
    """

    def __init__(self, partition: int, told: Mapping[str, Told]) -> None:
        """`told`: what stands on the topic, read after earlier owners were fenced."""
        self._partition = partition
        self._told = dict(told)
        self._marks: dict[str, list[CaptureMark]] = {}
        """By PBX, oldest first: the newest that was reached, and at most two after it."""

    def take(self, mark: CaptureMark) -> None:
        """Take a mark, in the order in which they were written: all that were there before the first `due`."""
        if self._partition not in mark.ends:
            return
        earlier = [each for each in self._marks.get(mark.pbx, []) if each.until_ms < mark.until_ms]
        self._marks[mark.pbx] = [*earlier[:2], mark]  # one that is waited for must not be put off for ever

    def due(self, position: int, open_calls: Mapping[str, OpenSince]) -> list[Complete]:
        """What is new, for rows taken before `position`; `open_calls`: by PBX, as of that position."""
        found = (self._of_pbx(pbx, position, open_calls.get(pbx)) for pbx in self._marks)
        return [each for each in found if each is not None]

    def acknowledged(self, complete: Iterable[Complete]) -> None:
        """These stand on the topic."""
        for each in complete:
            self._told[each.pbx] = Told(each.until_ms, each.captured_ms)

    def _of_pbx(self, pbx: str, position: int, first_open: OpenSince | None) -> Complete | None:
        marks = self._marks[pbx]
        reached = [at for at, mark in enumerate(marks) if mark.ends[self._partition] <= position]
        if not reached:
            return None
        marks = self._marks[pbx] = marks[reached[-1] :]
        captured = marks[0].until_ms
        until, held_by = captured - ROW_DELAY_MS, None
        if first_open is not None:
            if first_open.opened_at_ms is None:
                return None
            if (began := first_open.opened_at_ms - _BEFORE_LINKEDID_MS) < until:
                until, held_by = began, first_open.call_id
        told = self._told.get(pbx)
        set_back = told is not None and marks[-1].until_ms < told.captured_ms
        if told is not None and until <= told.until_ms and not set_back:
            return None
        return Complete(pbx, until, captured, held_by, set_back)
