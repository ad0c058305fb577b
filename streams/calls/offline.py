"""Classify rows from a file or a table: follow open calls only, and give each call once."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import astuple

from streams.calls.call import Call, epoch_of
from streams.calls.classify import facts_and_result
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.rows.row import COLUMNS, CapturedRow, CelRow
from streams.rows.shared_texts import sharing
from streams.rules import Rules

LINGER_ROWS = 5_000
"""Rows of other calls for which an ended call stays open: rows commit out of order, and files repeat some."""

_CHECK_EVERY_ROWS = 128
"""After so many rows, calls that ended long enough ago are handed out."""

_REMEMBERED_CALLS = 200_000
"""Calls handed out of which later rows are still recognised."""

_MANY_OPEN_CALLS = 5_000
"""From so many on rows share their texts: a third of the memory, for 5 to 14 % more time."""
_TEXTS_OF_A_CALL = 64

_TIME_SAMPLES = 16
"""Looks of which the earliest time counts: a few rows with a wrong clock, or one PBX of several, move no time."""


Key = tuple[str, str]
"""PBX and linkedid."""

Verdict = TypeVar("Verdict")

Order = tuple[int, int]
"""Rises from call to call, also between the shares of one file."""


class _Sealed(NamedTuple, Generic[Verdict]):
    """A call that has its LINKEDID_END. Its rows are packed, so that their memory serves the rows that follow: it is in
    the processor's caches still."""

    rows: bytes
    verdict: Verdict

    @classmethod
    def of(cls, call: Call, verdict: Verdict) -> "_Sealed[Verdict] | None":
        """None where a text is not Unicode: half a pair of surrogates, as JSON may hold it."""
        try:
            return cls(_pack(list(map(astuple, call.arrived(0)))), verdict)
        except UnicodeEncodeError:
            return None

    def opened(self, key: Key) -> Call:
        """The call, for a row that came late."""
        call = Call(*key)
        for cells in _unpack(self.rows):
            call.add(CelRow(*cells[: len(COLUMNS)]))
        return call


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


@dataclass(slots=True)
class OfflineClassifier:
    """Classifies the calls of rows that are read once, in about the order of their ids."""

    rules: Rules
    profile: PbxProfile
    pbx: str = "pbx1"
    place: Callable[[], int] | None = None
    """The number of the row just read among all of a file, where the rows are only a share of these."""
    give_up_seconds: float = 4 * 3600.0
    """A call without an end that had no row for so long, by the rows' own times, is given up as the aggregate worker
    does; it is seen at most so much later."""
    strays: int = 0
    """Rows that came after their call had been handed out: too late to count."""
    _open: dict[Key, tuple[Call, int]] = field(default_factory=dict)
    _ended: OrderedDict[Key, int] = field(default_factory=OrderedDict)
    _lost: Counter[str] = field(default_factory=Counter)
    """Rows that could not be read, by the linkedids that they may have."""
    _texts: dict[str, str] = field(default_factory=dict)
    _times: deque[int] = field(default_factory=lambda: deque(maxlen=_TIME_SAMPLES))
    _sweep_at: float = 0.0
    """Unix time."""
    _rows_before: dict[Key, int] = field(default_factory=dict)
    """How many rows each call without an end had at the last sweep."""

    def lost(self, linkedids: Sequence[str]) -> None:
        """A row could not be read: that of these calls; of any that has not ended where none is named.

        To be called where the row would have been given.
        """
        if linkedids:
            self._lost.update(linkedids)
        else:
            self._lost.update({linkedid for pbx, linkedid in self._open if (pbx, linkedid) not in self._ended})

    def classify(self, rows: Iterable[CapturedRow]) -> Iterator[CallResult]:
        """The outcome of each of the rows' calls."""
        return (result for result, _ in self.judged(rows, self.result_of))

    def result_of(self, call: Call, cut_short: bool) -> CallResult:
        """The outcome of a call, for `judged`."""
        return facts_and_result(call, self.rules, self.profile, cut_short=cut_short)[1]

    def judged(
        self, rows: Iterable[CapturedRow], judge: Callable[[Call, bool], Verdict]
    ) -> Iterator[tuple[Verdict, Order]]:
        """What `judge` says of each call: soon after its end; last, of those that ended a moment ago or are still open.

        It is given the call, and whether it is cut short: at its LINKEDID_END, and once more where rows came later, or
        some could not be read.
        """
        calls, ended, sealed = self._open, self._ended, dict[Key, _Sealed[Verdict]]()
        handed_out: OrderedDict[Key, None] = OrderedDict()
        place, next_check = self.place, _CHECK_EVERY_ROWS

        def hand_out(key: Key) -> Verdict:
            handed_out[key] = None
            if len(handed_out) > _REMEMBERED_CALLS:
                handed_out.popitem(last=False)
            unreadable, done = self._lost.get(key[1], 0), sealed.pop(key, None)
            if done is not None and not unreadable:
                return done.verdict
            call = calls.pop(key)[0] if done is None else done.opened(key)
            call.unreadable_rows = unreadable
            return judge(call, not call.ended)

        for number, row in enumerate(rows, start=1):
            count = number if place is None else place()
            key = (row.pbx or self.pbx, row.linkedid)
            known = calls.get(key)
            if known is None:
                if key in handed_out:
                    self.strays += 1
                    continue
                late = sealed.pop(key, None)
                known = calls[key] = Call(*key) if late is None else late.opened(key), count
            call = known[0]
            is_first_end = not call.linkedid_end
            call.add(row if len(calls) <= _MANY_OPEN_CALLS else sharing(row, self._texts_of(len(calls))))
            event = row.eventtype
            if event == "LINKEDID_END" or (event == "CHAN_END" and call.channels_ended):
                ended[key] = count
                ended.move_to_end(key)
                # A call that begins with its end is read backwards: its other rows follow.
                is_whole = call.linkedid_end and is_first_end and len(call) > 1
                if is_whole and (done := _Sealed.of(call, judge(call, False))) is not None:
                    sealed[key] = done
                    del calls[key]
            elif ended and key in ended and not call.linkedid_end:
                del ended[key]
            if count >= next_check:
                next_check = count - count % _CHECK_EVERY_ROWS + _CHECK_EVERY_ROWS
                self._look_at_time(row, count)
                while ended and next(iter(ended.values())) < count - LINGER_ROWS:
                    key, end = ended.popitem(last=False)
                    yield hand_out(key), (0, end)
        for key, end in ended.items():
            yield hand_out(key), (0, end)
        for key, (_, begin) in list(calls.items()):
            yield hand_out(key), (1, begin)

    def _texts_of(self, open_calls: int) -> dict[str, str]:
        """The texts that rows share."""
        if len(self._texts) > _TEXTS_OF_A_CALL * open_calls:
            self._texts.clear()
        return self._texts

    def _look_at_time(self, row: CapturedRow, count: int) -> None:
        """Give up the calls that had no row since the last sweep, if that was long enough ago by the rows' times."""
        if (epoch := epoch_of(row.uniqueid)) is None:
            return
        self._times.append(epoch)
        if len(self._times) < _TIME_SAMPLES or (now := min(self._times)) < self._sweep_at:
            return
        before, self._rows_before, self._sweep_at = self._rows_before, {}, now + self.give_up_seconds
        for key, (call, _) in self._open.items():
            if key in self._ended:
                continue
            if before.get(key) == len(call):
                self._ended[key] = count
            else:
                self._rows_before[key] = len(call)
