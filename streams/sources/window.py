"""`--since` and `--until`: the calls that began in a stretch of row ids or of time, whole. Pure."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from streams.clock import MICROS_PER_SECOND
from streams.errors import UserError
from streams.rows.eventtime import wall_micros
from streams.rows.row import CapturedRow

LONGEST_CALL = 24 * 3600 * MICROS_PER_SECOND
"""How long after `until` the rows of calls that began before are still waited for (microseconds)."""

EARLIER = 2 * 3600 * MICROS_PER_SECOND
"""By so much a row's time may be before that of rows with lower ids: the hour that comes twice in autumn, and more."""

_MOST_OPEN = 100_000


@dataclass(frozen=True, slots=True)
class Bound:
    """A row id, or the PBX's wall clock (microseconds from 1970)."""

    row_id: int | None = None
    wall: int | None = None

    @classmethod
    def of(cls, text: str, option: str) -> "Bound":
        """Raises UserError where it is neither an id nor a time without a zone."""
        if text.isascii() and text.isdigit():
            return cls(row_id=int(text))
        wall = wall_micros(text)
        if wall is None or _has_zone(text):
            raise UserError(
                f"{option} {text!r} is neither the id of a row nor a time without a zone",
                "Times are in the PBX's own clock, as in the table: 2026-11-22, or '2026-11-22 23:23:00'.",
            )
        return cls(wall=wall)

    def reached(self, row: CapturedRow) -> bool:
        """The row is at or after the bound."""
        if self.row_id is not None:
            return row.id >= self.row_id
        wall = wall_micros(row.eventtime)
        return wall is not None and self.wall is not None and wall >= self.wall


@dataclass(frozen=True, slots=True)
class Window:
    """The calls whose first channel began at or after `since` and before `until`: all their rows, no other's."""

    since: Bound | None = None
    until: Bound | None = None

    @classmethod
    def of(cls, since: str | None, until: str | None) -> "Window":
        """The window of two options. Raises UserError."""
        return cls(Bound.of(since, "--since") if since else None, Bound.of(until, "--until") if until else None)

    def rows(self, rows: Iterable[CapturedRow], *, in_order: bool) -> Iterator[CapturedRow]:
        """The window's rows. `in_order`: they come in the order of ids, so that nothing is read far beyond `until`.

        A call that has no CHAN_START row of its calling channel is in no window.
        """
        if self.since is None and self.until is None:
            yield from rows
            return
        opened: OrderedDict[tuple[str, str], None] = OrderedDict()
        over: int | None = None
        for row in rows:
            key = (row.pbx, row.linkedid)
            if key in opened:
                yield row
                if row.eventtype == "LINKEDID_END":
                    del opened[key]
            elif over is None and self._begins(row):
                opened[key] = None
                if len(opened) > _MOST_OPEN:  # where no LINKEDID_END is logged
                    opened.popitem(last=False)
                yield row
            if in_order and self.until is not None:
                wall = wall_micros(row.eventtime) or 0
                if over is None and self.until.reached(row):
                    over = wall
                if over is not None and (not opened or wall > over + LONGEST_CALL):
                    return

    def _begins(self, row: CapturedRow) -> bool:
        if row.eventtype != "CHAN_START" or row.uniqueid != row.linkedid:
            return False
        early = self.since is not None and not self.since.reached(row)
        return not early and (self.until is None or not self.until.reached(row))


def _has_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
