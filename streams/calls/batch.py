"""Judging rows from a file or a table: follows open calls only, and gives each call once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from streams.calls.call import Call, Ending
from streams.calls.judge import judge_story
from streams.calls.result import CallResult
from streams.calls.site import Site
from streams.rows.row import CapturedRow
from streams.rules import Rules

LINGER_ROWS = 5_000
"""Rows of other calls for which an ended call stays open: rows commit out of order, and files repeat some."""

_LOOK_ROWS = 128
"""How often it is looked which calls have ended long enough ago."""

_REMEMBERED = 200_000


class SortableRow(Protocol):
    """What sorting needs of a row."""

    @property
    def pbx(self) -> str: ...
    @property
    def linkedid(self) -> str: ...
    @property
    def eventtype(self) -> str: ...


Row = TypeVar("Row", bound=SortableRow)
Kept = TypeVar("Kept", bound=Ending)


@dataclass(slots=True)
class Batch:
    """Rows in, outcomes out."""

    rules: Rules
    site: Site
    pbx: str = "pbx1"
    strays: int = 0
    """Rows that came after their call had been given: too late to count."""

    def judge(self, rows: Iterable[CapturedRow]) -> Iterator[CallResult]:
        """The outcome of each of the rows' calls."""
        for call, cut_short in self.sorted_out(rows, Call, Call.add):
            yield judge_story(call, self.rules, self.site, cut_short=cut_short)[1]

    def sorted_out(
        self, rows: Iterable[Row], new: Callable[[str, str], Kept], add: Callable[[Kept, Row], object]
    ) -> Iterator[tuple[Kept, bool]]:
        """The calls of the rows, each soon after its end, and whether it was cut short; last, those still open."""
        calls: dict[tuple[str, str], Kept] = {}
        ended: OrderedDict[tuple[str, str], int] = OrderedDict()
        given: OrderedDict[tuple[str, str], None] = OrderedDict()

        def give(key: tuple[str, str]) -> tuple[Kept, bool]:
            call = calls.pop(key)
            given[key] = None
            if len(given) > _REMEMBERED:
                given.popitem(last=False)
            return call, not (call.linkedid_end or call.channels_ended)

        for count, row in enumerate(rows, start=1):
            key = (row.pbx or self.pbx, row.linkedid)
            call = calls.get(key)
            if call is None:
                if key in given:
                    self.strays += 1
                    continue
                call = calls[key] = new(*key)
            add(call, row)
            event = row.eventtype
            if event == "LINKEDID_END" or (event == "CHAN_END" and call.channels_ended):
                ended[key] = count
                ended.move_to_end(key)
            elif ended and key in ended and not call.linkedid_end:
                del ended[key]
            if not count % _LOOK_ROWS:
                while ended and next(iter(ended.values())) < count - LINGER_ROWS:
                    yield give(ended.popitem(last=False)[0])
        for key in list(calls):
            yield give(key)
