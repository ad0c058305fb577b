"""Until when rows were lost on the topic, and so which calls may lack some of them. Pure.

Rows are lost where retention removes them before they are taken, and where an offset that was set by hand passes over
them. What becomes of a call that may have had rows among them: streams/calls/missing_rows.py.
"""

from collections.abc import Iterable, Mapping

_NOT_YET = 0
"""In the place of a time: no row of the PBX has come since."""

_OTHERS = ""
"""In the place of a name: PBXs of which no row has come ever."""

NOBODY_KNOWS: Mapping[str, int] = {_OTHERS: _NOT_YET}
"""With this `LostRows` begins where nothing is remembered, though rows stood before the first one that is taken."""

CLOCKS_APART_MS = 60_000
"""By how much Asterisk's clock, which the linkedid tells, may be ahead of the database's."""


class LostRows:
    """Until when rows were lost, by PBX: stream time (Unix milliseconds) at its first streamed row afterwards."""

    def __init__(self, until: Mapping[str, int]) -> None:
        self.until: dict[str, int] = dict(until)

    def lost(self, pbxs: Iterable[str]) -> None:
        """Rows were lost; of which of these PBXs, or of which other one, nobody can say."""
        self.until = dict.fromkeys((_OTHERS, *pbxs), _NOT_YET)

    def new_pbx(self, pbx: str) -> None:
        """A PBX was not known until now."""
        if _OTHERS in self.until:
            self.until[pbx] = _NOT_YET

    def streamed_row(self, pbx: str, time: int) -> None:
        """A streamed row of a PBX came; `time`: stream time then."""
        if self.until.get(pbx) == _NOT_YET:
            self.until[pbx] = time

    def may_include_first_rows(self, pbx: str, opened_at_ms: int | None) -> bool:
        """Whether the first rows of a call may be among them, by the second in its linkedid."""
        until = self.until.get(pbx)
        return until is not None and opened_at_ms is not None and opened_at_ms <= until + CLOCKS_APART_MS

    def forget(self, times: Mapping[str, int], grace_ms: int) -> None:
        """Forget what matters no more: the streamed rows of calls from then are too late by now."""
        kept = {
            pbx: until
            for pbx, until in self.until.items()
            if until == _NOT_YET or times.get(pbx, 0) <= until + CLOCKS_APART_MS + grace_ms
        }
        over = len(kept) < len(self.until) and kept.keys() == {_OTHERS}
        self.until = {} if over else kept
