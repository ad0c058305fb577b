"""The protocol with one rule left out, each time another: the simulation must notice every one of them."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

import msgspec

from streams.calls.call import Call, End
from streams.calls.missing_rows import Missing
from streams.calls.segments import segment_of
from streams.rows.row import CapturedRow
from streams.workers.aggregate.complete_until import OpenSince
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import CheckpointStep, Commit, Ended, RowEffect, WriteSnapshots
from streams.workers.aggregate.tracked_call import TrackedCall
from tests.workers.aggregate.simulated_partition import Rules


def _rows(tracked: TrackedCall) -> Call:
    """The rows of a call that may be sealed."""
    return Call.from_bytes(tracked.packed) if tracked.packed is not None else tracked.call


def _at_once(steps: Iterable[CheckpointStep]) -> Iterator[CheckpointStep]:
    """The same without a turn for others: what is changed around it is no other rule's affair."""
    for _ in steps:
        pass
    yield from ()


class _NoReplay(PartitionState):
    """10: rows between marker and committed offset are not replayed."""

    def replay(self, offset: int, captured: CapturedRow) -> None:
        self.skip(offset)
        self._advance(captured)


class _ReplayedNotDirty(PartitionState):
    """10: calls changed by the replay are not dirty."""

    def replay(self, offset: int, captured: CapturedRow) -> None:
        before = dict(self._dirty)
        super().replay(offset, captured)
        self._dirty = before


class _FailedNotDirtyAgain(PartitionState):
    """7: what a failed flush held is not dirty again."""

    def _settle(self, copy, acknowledged: bool):  # type: ignore[no-untyped-def]
        yield from ()
        if acknowledged:
            self._marker = copy.marker


class _MarkerMovesAnyway(PartitionState):
    """7: the marker moves though the flush failed."""

    def _settle(self, copy, acknowledged: bool):  # type: ignore[no-untyped-def]
        yield from super()._settle(copy, acknowledged)
        self._marker = copy.marker


class _MarkerApart(PartitionState):
    """8: an offset before the marker is committed."""

    def checkpoint(self, *, flush: bool = True) -> Generator[CheckpointStep, bool, None]:
        steps = super().checkpoint(flush=flush)
        answer: bool | None = None
        while True:
            try:
                step = steps.send(answer)  # type: ignore[arg-type]  # None starts it
            except StopIteration:
                return
            if isinstance(step, Commit) and step.offset > 0:
                step = Commit(step.offset - 1, step.marker)
            answer = yield step


class _ShortCallsNotWritten(PartitionState):
    """7: a call that ended before its first flush is not written."""

    def _end(self, key: str, tracked: TrackedCall) -> Ended:
        short = tracked.covered_offset == 0
        finished = super()._end(key, tracked)
        if short:
            self._dirty.pop(key, None)
        return finished


class _ForgottenUnconfirmed(PartitionState):
    """9: forgotten by the flushed marker, not by the confirmed one."""

    def _forget(self):  # type: ignore[no-untyped-def]
        confirmed, self._confirmed = self._confirmed, Marker(self.position, dict(self.times))
        yield from _at_once(super()._forget())
        self._confirmed = confirmed


class _NoTombstone(PartitionState):
    """9: forgotten without a tombstone."""

    def _forget(self):  # type: ignore[no-untyped-def]
        before = dict(self._dirty)
        yield from _at_once(super()._forget())
        self._dirty = before


class _NoGrace(PartitionState):
    """9: forgotten as soon as it ended."""

    def _deadline(self, tracked: TrackedCall) -> int:
        return super()._deadline(tracked) - self._limits.grace_ms if tracked.ended else super()._deadline(tracked)


class _EndingIsAFact(PartitionState):
    """3: a new row does not undo an ending by the timer."""

    def _fold(self, key: str, tracked: TrackedCall, captured: CapturedRow, now: int) -> Ended | None:
        was_ended = tracked.ended
        finished = super()._fold(key, tracked, captured, now)
        if was_ended:
            tracked.ended = True
            self._open.ended(key, tracked)
            self._keep(key, tracked)
        return finished


class _JudgedAtOnce(PartitionState):
    """5: a call is judged at its LINKEDID_END, without a settle time."""

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        effect = super().row(offset, captured)
        key = f"{captured.pbx}/{captured.linkedid}"
        return self._end(key, self.calls[key]) if effect is None and key in self._open.settling else effect


class _SettledByClockAlone(PartitionState):
    """5: the clock ends a call's settle time while rows are still to be read."""

    def end_settled(self, now: int, end_offset: int) -> list[Ended]:
        return super().end_settled(now, self.position)


class _SettledByCommitTime(PartitionState):
    """5: the settle time is counted from the commit time of the last row, which the clock may be past at once."""

    def end_settled(self, now: int, end_offset: int) -> list[Ended]:
        opened = self._open
        for key in opened.settling:
            opened.settling[key] = last = self.calls[key].last_row_ms
            opened._not_looked_at.pop(key, None)
            opened._by_clock.put(key, last + self._limits.whole_wait_ms(self.calls[key]))
        return super().end_settled(now, end_offset)


class _ReplayedNotSettling(PartitionState):
    """10: a call whose LINKEDID_END was replayed counts as judged."""

    def replay(self, offset: int, captured: CapturedRow) -> None:
        super().replay(offset, captured)
        key = f"{captured.pbx}/{captured.linkedid}"
        if key in self._open.settling:
            self._end(key, self.calls[key])


class _NoTimer(PartitionState):
    """5: calls without LINKEDID_END never end."""

    def tick(self, now: int, end_offset: int) -> list[Ended]:
        return []


class _LateRowsTaken(PartitionState):
    """3: a streamed row opens a call however old it is."""

    def _refused(self, captured: CapturedRow, now: int) -> bool:
        return False


class _BackfillRefused(PartitionState):
    """3: no exception for backfilled rows."""

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        streamed = CapturedRow(**{name: getattr(captured, name) for name in captured.__struct_fields__} | {"op": "c"})
        return super().row(offset, streamed)


class _LastRowsTime(PartitionState):
    """1: the row's own commit time instead of the stream's."""

    def _advance(self, captured: CapturedRow) -> int:
        self.times[captured.pbx] = captured.commit_ms
        return captured.commit_ms


class _OneTimeForAll(PartitionState):
    """1: one stream time for all PBXs."""

    def _advance(self, captured: CapturedRow) -> int:
        time = max(super()._advance(captured), *self.times.values(), 0)
        self.times = dict.fromkeys(self.times, time)
        return time


class _CoveredRowsJudgedAgain(PartitionState):
    """10: rows that a restored snapshot covers are taken as new."""

    def adopt(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().adopt(*args, **kwargs)
        for tracked in self.calls.values():
            tracked.covered_offset = 0


class _ForgottenInMidBackfill(PartitionState):
    """3: a known row that is backfilled does not renew its call."""

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        tracked = self.calls.get(f"{captured.pbx}/{captured.linkedid}")
        last = tracked.last_row_ms if tracked and _rows(tracked).knows(captured.id) else None
        effect = super().row(offset, captured)
        if tracked and last is not None:
            tracked.last_row_ms = last
        return effect


class _LostUnderWayJudged(PartitionState):
    """3: calls that were under way while rows were lost are judged from the others."""

    def lose(self, next_offset: int) -> None:
        before = {key: each.missing for key, each in self.calls.items()}
        super().lose(next_offset)
        for key, missing in before.items():
            self.calls[key].missing = missing


class _LostBeginningJudged(PartitionState):
    """3: a call that is known from its middle on after a loss is judged."""

    def _first_rows_lost(self, captured: CapturedRow, tracked: TrackedCall) -> bool:
        return False


class _LostNotInMarker(PartitionState):
    """8: the marker does not say that rows were lost."""

    def _copy(self):  # type: ignore[no-untyped-def]
        copy = yield from super()._copy()
        copy.marker = Marker(copy.marker.offset, copy.marker.times)
        return copy


class _LostNotInSnapshots(PartitionState):
    """7: the snapshot of a call does not say that rows of it may be lost."""

    def _snapshot(self, tracked: TrackedCall, packed: bytes, begun_offset: int) -> bytes:
        return super()._snapshot(msgspec.structs.replace(tracked, missing=Missing.NOTHING), packed, begun_offset)


class _LostAfterEndForgotten(PartitionState):
    """3: a call that had ended before rows were lost, and goes on, is judged."""

    def lose(self, next_offset: int) -> None:
        ended = {key: each.missing for key, each in self.calls.items() if each.ended}
        super().lose(next_offset)
        for key, missing in ended.items():
            self.calls[key].missing = missing


class _NeverHealed(PartitionState):
    """3: a call that lacks rows stays withheld, though a backfill brings them."""

    def _read_again(self, key: str, tracked: TrackedCall, captured: CapturedRow) -> None:
        pass


class _BackfillNotBegunAnew(PartitionState):
    """3: the rest of a backfill that a loss has cut counts as all of it."""

    def lose(self, next_offset: int) -> None:
        before = {key: each.missing for key, each in self.calls.items()}
        super().lose(next_offset)
        for key, missing in before.items():
            if missing is Missing.READ_AGAIN:
                self.calls[key].missing = missing


class _SealedUnacknowledged(PartitionState):
    """7: a call is sealed with the copy, before it is acknowledged."""

    def _copy(self):  # type: ignore[no-untyped-def]
        copy = yield from super()._copy()
        yield from _at_once(self._seal(copy))
        return copy


class _SealedThoughChanged(PartitionState):
    """7: a call that had a row since the copy is sealed as it was then."""

    def _seal(self, copy):  # type: ignore[no-untyped-def]
        dirty, self._dirty = self._dirty, {}
        yield from _at_once(super()._seal(copy))
        self._dirty = dirty


class _SealedAgainThoughChanged(PartitionState):
    """7: a call that a late row has thawed is sealed again without that row."""

    def _fold(self, key: str, tracked: TrackedCall, captured: CapturedRow, now: int) -> Ended | None:
        before = tracked.packed
        finished = super()._fold(key, tracked, captured, now)
        tracked.packed = before
        return finished


class _NotThawed(PartitionState):
    """3: a sealed call is opened anew by a late row."""

    def row(self, offset: int, captured: CapturedRow) -> RowEffect | None:
        key = f"{captured.pbx}/{captured.linkedid}"
        if key in self.calls and self.calls[key].sealed and offset >= self.calls[key].covered_offset:
            del self.calls[key]
        return super().row(offset, captured)


class _EndNotInSnapshot(PartitionState):
    """2: the snapshot of a sealed call does not tell by what it ended, and so until when it takes rows."""

    def _snapshot(self, tracked: TrackedCall, packed: bytes, begun_offset: int) -> bytes:
        return super()._snapshot(msgspec.structs.replace(tracked, end=End.NOT_SEEN), packed, begun_offset)


class _MarkerOfTheCopysEnd(PartitionState):
    """7: the marker is the position at which the copy was done, not that at which it began."""

    def _copy(self):  # type: ignore[no-untyped-def]
        copy = yield from super()._copy()
        copy.marker = Marker(self.position, dict(self.times), dict(self._lost.until))
        return copy


class _CopiedAndThenClean(PartitionState):
    """7: a call that changes while the others are copied is not dirty again."""

    def _copy(self):  # type: ignore[no-untyped-def]
        copy = yield from super()._copy()
        for key in copy.keys:
            self._dirty.pop(key, None)
        return copy


class _CompleteAsItIsCovered(PartitionState):
    """10: where the marker is lost, a snapshot is taken to tell that all calls were written up to its own position."""

    def _snapshot(self, tracked: TrackedCall, packed: bytes, begun_offset: int) -> bytes:
        return super()._snapshot(tracked, packed, self.position)


class _SegmentsApart(PartitionState):
    """7: the segments of a call are written after its snapshot, in a transaction of their own."""

    def _flush(self) -> Generator[CheckpointStep, bool, None]:
        steps = super()._flush()
        answer: bool | None = None
        while True:
            try:
                step = steps.send(answer)  # type: ignore[arg-type]  # None starts it
            except StopIteration:
                return
            if isinstance(step, WriteSnapshots):
                segments = [record for record in step.records if segment_of(record[0]) is not None]
                answer = yield WriteSnapshots([record for record in step.records if record not in segments])
                if answer and segments:
                    answer = yield WriteSnapshots(segments)
            else:
                answer = yield step


class _SegmentsCountUnacknowledged(PartitionState):
    """7: a segment that a failed flush held is not written again."""

    def _settle(self, copy, acknowledged: bool):  # type: ignore[no-untyped-def]
        yield from super()._settle(copy, acknowledged)
        for tracked, made in copy.long:
            tracked.segments.written = made


class _SegmentsStay(PartitionState):
    """9: the segments of a forgotten call have no tombstones."""

    def _copy_call(self, copy, key: str, tracked: TrackedCall | None) -> int:  # type: ignore[no-untyped-def]
        self._segments_there.pop(key, None)
        return super()._copy_call(copy, key, tracked)


_RULES = Rules()


class _OpenCallsDoNotCount(PartitionState):
    """complete until: calls under way do not hold it back."""

    def first_open_calls(self) -> dict[str, OpenSince]:
        return {}


class _LastOpenCallCounts(PartitionState):
    """complete until: the call that began last holds it back, not the first."""

    def first_open_calls(self) -> dict[str, OpenSince]:
        return {each.pbx: OpenSince(key, each.opened_at_ms) for key, each in self._open._calls.items()}


LEFT_OUT: dict[str, Rules] = {
    "fence the earlier owner": replace(_RULES, fence=False),
    "await results and dead letters": replace(_RULES, await_sent=False),
    "only a confirmed commit counts": replace(_RULES, confirmed_only=False, strangers=0.4),
}
LEFT_OUT |= {
    str(rule.__doc__): replace(_RULES, new=rule)
    for rule in (
        _OpenCallsDoNotCount, _LastOpenCallCounts,
        _NoReplay, _ReplayedNotDirty, _FailedNotDirtyAgain, _MarkerMovesAnyway, _MarkerApart, _ShortCallsNotWritten,
        _JudgedAtOnce, _SettledByClockAlone, _SettledByCommitTime, _ReplayedNotSettling,
        _NoTombstone, _NoGrace, _EndingIsAFact, _NoTimer, _LateRowsTaken, _BackfillRefused,
        _LastRowsTime, _OneTimeForAll, _CoveredRowsJudgedAgain,
        _SealedUnacknowledged, _SealedThoughChanged, _SealedAgainThoughChanged, _NotThawed, _EndNotInSnapshot,
        _MarkerOfTheCopysEnd, _CopiedAndThenClean,
        _SegmentsApart, _SegmentsCountUnacknowledged, _SegmentsStay,
    )
}  # fmt: skip
LEFT_OUT[str(_ForgottenUnconfirmed.__doc__)] = replace(_RULES, new=_ForgottenUnconfirmed, strangers=1.0)
LEFT_OUT |= {
    str(rule.__doc__): replace(_RULES, new=rule, losses=1.0, loss_chance=0.1)
    for rule in (
        _LostUnderWayJudged,
        _LostBeginningJudged, _LostNotInMarker, _LostNotInSnapshots, _LostAfterEndForgotten,
        _NeverHealed, _BackfillNotBegunAnew, _CompleteAsItIsCovered,
    )
}  # fmt: skip
LEFT_OUT[str(_ForgottenInMidBackfill.__doc__)] = replace(
    _RULES, new=_ForgottenInMidBackfill, losses=0.0, backfilled=1.0
)  # a call that a backfill reads again from its first row is open meanwhile: few are forgotten in their middle
