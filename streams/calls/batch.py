"""Judging rows from a file or a table: follows open calls only, and gives each call once."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.calls.call import Call
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


class EndedCall(NamedTuple):
    """A call of which no more rows are expected."""

    call: Call
    cut_short: bool


@dataclass(slots=True)
class Batch:
    """Rows in, outcomes out."""

    rules: Rules
    site: Site
    pbx: str = "pbx1"
    strays: int = 0
    """Rows that came after their call had been given: too late to count."""
    _open: dict[tuple[str, str], Call] = field(default_factory=dict)
    _ended: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    _given: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    def judge(self, rows: Iterable[CapturedRow]) -> Iterator[CallResult]:
        """The outcome of each of the rows' calls."""
        for call, cut_short in self.calls(rows):
            yield judge_story(call, self.rules, self.site, cut_short=cut_short)[1]

    def calls(self, rows: Iterable[CapturedRow]) -> Iterator[EndedCall]:
        """The calls of the rows, each soon after its end; at the end of the rows, those still open."""
        calls, ended, count = self._open, self._ended, 0
        for row in rows:
            count += 1
            key = (row.pbx or self.pbx, row.linkedid)
            call = calls.get(key)
            if call is None:
                if key in self._given:
                    self.strays += 1
                    continue
                call = calls[key] = Call(*key)
            call.add(row)
            event = row.eventtype
            if event == "LINKEDID_END" or (event == "CHAN_END" and call.channels_ended):
                ended[key] = count
                ended.move_to_end(key)
            elif ended and key in ended and not call.linkedid_end:
                del ended[key]
            if not count % _LOOK_ROWS:
                while ended and next(iter(ended.values())) < count - LINGER_ROWS:
                    yield self._give(ended.popitem(last=False)[0])
        for key in list(calls):
            yield self._give(key)

    def _give(self, key: tuple[str, str]) -> EndedCall:
        call = self._open.pop(key)
        self._given[key] = None
        if len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
        return EndedCall(call, not (call.linkedid_end or call.channels_ended))
