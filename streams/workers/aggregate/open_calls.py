"""The calls of a partition that have not ended, and which of them end by time (rule 5). Pure.

A look costs what is due, not what is open: each call stands in an order by when it ends unless rows come.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from streams.calls.call import End
from streams.workers.aggregate.deadlines import Deadlines
from streams.workers.aggregate.steps import Limits
from streams.workers.aggregate.tracked_call import TrackedCall

_NOT_KNOWN = -1
"""Before every time at which a call began."""


class OpenCalls:
    """The open calls, and what each of them waits for.

    `times` of the methods is the stream time of each PBX, `now` the clock: both Unix milliseconds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls: dict[str, TrackedCall] = {}
        self._opened: defaultdict[str, Deadlines] = defaultdict(Deadlines)
        """By PBX: all of them, by when they began; those of which that is not known before all others."""
        self._quiet: defaultdict[str, Deadlines] = defaultdict(Deadlines)
        """By PBX: calls without LINKEDID_END, by when they went quiet."""
        self.settling: dict[str, int | None] = {}
        """Calls that have their LINKEDID_END: the clock at the first look at each after its last row, taken when all
        rows were read; None: not looked at yet."""
        self._by_stream: defaultdict[str, Deadlines] = defaultdict(Deadlines)
        """By PBX: those calls, by the stream time at which they settled."""
        self._by_clock = Deadlines()
        """Those that were looked at, by the clock at which they settled."""
        self._not_looked_at: dict[str, None] = {}
        self._soon: set[str] = set()
        """Those that wait for nothing but their settle time."""
        self._last_look = 0

    def __len__(self) -> int:
        return len(self._calls)

    def opened_first(self) -> Iterator[tuple[str, TrackedCall]]:
        """The call of each PBX that began first, with its id."""
        for opened in self._opened.values():
            if (first := opened.first) is not None:
                yield first[1], self._calls[first[1]]

    def of_pbx(self, pbx: str) -> Iterator[TrackedCall]:
        """The open calls of one PBX: a look at all of them."""
        return (tracked for tracked in self._calls.values() if tracked.pbx == pbx)

    @property
    def settle_soon(self) -> bool:
        """Whether calls wait for their settle time: `settled` should look at them soon."""
        return bool(self._soon)

    @property
    def settled_at(self) -> int | None:
        """The clock at which the first of those that were looked at has settled; None: none was looked at."""
        return self._by_clock.next

    def row_came(self, key: str, tracked: TrackedCall) -> None:
        """The call is open, or open again, and its wait begins anew with its last row."""
        due, pbx = self._due(tracked), tracked.pbx
        if key not in self._calls:
            self._opened[pbx].put(key, _NOT_KNOWN if tracked.opened_at_ms is None else tracked.opened_at_ms)
        self._calls[key] = tracked
        if tracked.end is not End.LINKEDID:
            self._quiet[pbx].put(key, due)
            return
        self._quiet[pbx].drop(key)
        self._by_stream[pbx].put(key, due)
        self._by_clock.drop(key)
        self.settling[key] = None
        self._not_looked_at[key] = None
        self.missing_changed(key, tracked)

    def missing_changed(self, key: str, tracked: TrackedCall) -> None:
        """The call waits for a backfill from now on, or does not any more."""
        if key in self.settling and not tracked.missing.waits:
            self._soon.add(key)
        else:
            self._soon.discard(key)

    def ended(self, key: str, tracked: TrackedCall) -> None:
        """The call is not open any more, if it was."""
        if self._calls.pop(key, None) is None:
            return
        pbx = tracked.pbx
        self._opened[pbx].drop(key)
        self._quiet[pbx].drop(key)
        if key in self.settling:
            del self.settling[key]
            self._by_stream[pbx].drop(key)
            self._by_clock.drop(key)
            self._not_looked_at.pop(key, None)
            self._soon.discard(key)

    def gone_quiet(self, times: Mapping[str, int], now: int | None) -> list[tuple[str, TrackedCall]]:
        """Calls without LINKEDID_END that had no row for their wait: they have `ended`. `now`: None where the clock
        does not count."""
        found: list[tuple[str, TrackedCall]] = []
        for pbx, deadlines in self._quiet.items():
            time = times[pbx] if now is None else max(now, times[pbx])
            found += self._due_by(time, deadlines)
        return found

    def settled(self, times: Mapping[str, int], now: int | None) -> list[tuple[str, TrackedCall]]:
        """The same of calls that have it.

        The clock is compared with itself alone, at the first look after the last row: a database tells its commit times
        in whole seconds, so that against them every call would seem to have settled.
        """
        found: list[tuple[str, TrackedCall]] = []
        for pbx, deadlines in self._by_stream.items():
            found += self._due_by(times[pbx], deadlines)
        if now is not None:
            found += self._settled_by_clock(now, {key for key, _ in found})
        return found

    def _due_by(self, time: int, deadlines: Deadlines) -> Iterator[tuple[str, TrackedCall]]:
        for key in deadlines.take(time):
            tracked = self._calls[key]
            due = self._due(tracked)
            if due <= time:
                yield key, tracked
            else:  # rows came since
                deadlines.put(key, due)

    def _settled_by_clock(self, now: int, by_stream: set[str]) -> Iterator[tuple[str, TrackedCall]]:
        if now < self._last_look:  # the clock was put back
            for key, since in self.settling.items():
                if since is not None and now < since:
                    self._by_clock.drop(key)
                    self._not_looked_at[key] = None
        self._last_look = now
        for key in self._by_clock.take(now):
            tracked, since = self._calls[key], self.settling[key]
            due = (now if since is None else since) + self._limits.whole_wait_ms(tracked)
            if due > now:  # rows were lost since
                self._by_clock.put(key, due)
            elif key not in by_stream:
                yield key, tracked
        for key in self._not_looked_at:
            self.settling[key] = now
            self._by_clock.put(key, now + self._limits.whole_wait_ms(self._calls[key]))
        self._not_looked_at.clear()

    def _due(self, tracked: TrackedCall) -> int:
        """Stream time at which the call ends if no row comes."""
        wait = self._limits.whole_wait_ms(tracked)
        return tracked.last_row_ms + (max(1, wait) if tracked.end is End.LINKEDID else wait)
