"""Calls judged anew beside the results that stand on call-results: what differs, what cannot be judged, how many.

async for each in compare(inputs, progress): ...    # every differing call once, whole, with its result before
"""

from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, NamedTuple

import msgspec

from streams.calls.differences import compared_digest
from streams.calls.result import CallResult, Classification
from streams.gaps.call_tally import covers
from streams.operations.connection import Connection
from streams.replay.fold import FoldedCall, KeyOffsets, PartitionFold
from streams.replay.judge import CallJudge, Judged, NotJudged, Unjudged
from streams.replay.progress import Progress
from streams.replay.published import PublishedCall, PublishedResults, results_at
from streams.replay.ranges import PartitionRange
from streams.replay.selection import Selection
from streams.replay.source import CelSource
from streams.replay.spool import kept_on_disk, temporary_file
from streams.workers.aggregate.record_decoder import RecordDecoder


class Kind(StrEnum):
    """What a replay finds of a call."""

    SAME = "same"
    STATUS = "status"
    """The same outcome, which a CRM would show otherwise by the rules that it is judged by."""
    CHANGED = "changed"
    """The same rows, another outcome."""
    MORE_ROWS = "more_rows"
    """The topic holds rows that no result of the call does (refused as late, say), and its outcome is another one."""
    NO_RESULT = "no_result"
    """No result of the call stands on call-results."""


class Difference(NamedTuple):
    """A call whose outcome is not the one that stands on call-results."""

    kind: Kind
    before: CallResult | None
    after: Classification
    row: tuple[int, int]
    """Partition and offset of its last row."""


Found = Difference | NotJudged


@dataclass(slots=True)
class Counts:
    """What was found, in numbers."""

    rows: int = 0
    """Rows folded, those of calls outside included."""
    unreadable: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    unjudged: Counter[Unjudged] = field(default_factory=Counter)
    results: Counter[tuple[int | None, int]] = field(default_factory=Counter)
    """Of differing calls: result before (None: there was none) and after."""

    @property
    def judged(self) -> int:
        """Calls that were meant and judged."""
        return sum(self.kinds.values())

    @property
    def differing(self) -> int:
        """Calls whose outcome is not the one that stands on call-results."""
        return self.judged - self.kinds[Kind.SAME] - self.kinds[Kind.STATUS]

    @property
    def not_judged(self) -> int:
        """Calls that were meant and could not be judged."""
        return sum(self.unjudged.values())


class Batch(NamedTuple):
    """What a stretch of rows gave."""

    calls: list[tuple[int, Judged | NotJudged]]
    """Each with the offset of its first row."""
    safe: int
    """Every call whose first row stands before this offset has been given by now."""


class _Stored(msgspec.Struct, array_like=True):
    kind: Kind
    outcome: Classification
    row: tuple[int, int]


@dataclass(slots=True)
class _Spool:
    """Differing calls until their results before have been read: on disk, for they may be many."""

    file: IO[bytes]
    places: "array[int]" = field(default_factory=lambda: array("Q"))
    begins: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("L"))
    _size: int = 0

    def put(self, place: int, stored: _Stored) -> None:
        """Raises UserError: the disk is full."""
        encoded = msgspec.msgpack.encode(stored)
        with kept_on_disk():
            self.file.write(encoded)
        self.places.append(place)
        self.begins.append(self._size)
        self.lengths.append(len(encoded))
        self._size += len(encoded)

    def taken(self) -> Iterator[tuple[int, _Stored]]:
        """By place, in their order. Raises UserError: the disk is full."""
        with kept_on_disk():
            self.file.flush()
        decode = msgspec.msgpack.Decoder(_Stored).decode
        for number in sorted(range(len(self.places)), key=self.places.__getitem__):
            self.file.seek(self.begins[number])
            yield self.places[number], decode(self.file.read(self.lengths[number]))


@dataclass(slots=True)
class Replay:
    """What a replay works with. Every method raises UserError: no broker, no such topic."""

    connection: Connection
    source: CelSource
    selection: Selection
    ranges: list[PartitionRange]
    judge: CallJudge
    decoder: RecordDecoder
    published: PublishedResults
    progress: Progress
    counts: Counts = field(default_factory=Counts)
    shown_otherwise: Callable[[CallResult], bool] = lambda _: False
    """Whether a CRM would show an outcome otherwise than by the rules in force."""

    async def batches(self, place: PartitionRange, resume_from: int = 0) -> AsyncIterator["Batch"]:
        """Every call that is meant, as far as its outcome need not be known for that, of one partition.

        `resume_from`: the offset that a batch of an earlier run told as safe: what came before is not given again.
        """
        keys = KeyOffsets(self.selection.keys(), self._pbxs(), self.decoder)
        async for records in self.source.read(*place.span, lambda _first, _next: None):
            keys.note(records)
            self.progress.scanned(len(records))
        fold = PartitionFold(place, keys, self.decoder, resume_from)
        start = max(place.read_from, resume_from)
        self.progress.folded(start - place.read_from)
        reading = self.source.read(place.partition, start, place.read_to, lambda _first, after: fold.lose(after))
        async for records in reading:
            told = self._told(fold.take(records), place, keys)
            after = records[-1].offset + 1
            yield Batch(told, after if fold.oldest_offset is None else fold.oldest_offset)
            self.counts.rows += len(records)
            self.progress.folded(len(records))
        yield Batch(self._told(fold.finish(), place, keys), place.read_to)
        self.counts.unreadable += fold.unreadable

    async def judged(self, place: PartitionRange) -> AsyncIterator[Judged | NotJudged]:
        """The same call by call."""
        async for batch in self.batches(place):
            for _, told in batch.calls:
                yield told

    async def differences(self) -> AsyncIterator[Found]:
        """The calls that differ, and those that cannot be judged; the others are counted."""
        with temporary_file() as file:
            spool = _Spool(file)
            for place in self.ranges:
                async for each in self.judged(place):
                    told = self._compared(each, spool)
                    if told is not None:
                        yield told
            async for difference in self._with_results(spool):
                yield difference

    async def _with_results(self, spool: _Spool) -> AsyncIterator[Difference]:
        results = results_at(self.connection, spool.places)
        current = await anext(results, None)
        for place, after in spool.taken():
            while current is not None and current[0] < place:
                current = await anext(results, None)
            # A result that retention removed meanwhile is none any more.
            before = current[1] if current is not None and current[0] == place else None
            kind = after.kind if before is not None else Kind.NO_RESULT
            told = self._difference(kind, before, after.outcome, after.row)
            if told is not None:
                yield told

    def _pbxs(self) -> frozenset[str]:
        settings = self.connection.settings
        return frozenset(each.name for each in (settings.pbx, *settings.other_pbxs))

    def _told(
        self, folded: Iterable[FoldedCall], place: PartitionRange, keys: KeyOffsets
    ) -> list[tuple[int, Judged | NotJudged]]:
        """Those of the calls that are meant."""
        selection, settings, found = self.selection, self.connection.settings, list[tuple[int, Judged | NotJudged]]()
        for each in folded:
            call = each.call
            if not selection.wants_call(call.pbx, call.call_id):
                continue
            told = self.judge.judge(each, place, keys.starts_logged, keys.first_read_ms)
            if isinstance(told, Judged):
                meant = selection.wants_time(told.outcome.result)
            else:
                meant = told is not None and selection.may_want_time(call.linkedid, settings)
            if told is not None and meant:
                found.append((each.first_offset, told))
        return found

    def _compared(self, each: Judged | NotJudged, spool: _Spool) -> Found | None:
        if isinstance(each, NotJudged):
            self.counts.unjudged[each.why] += 1
            return each
        result, row = each.outcome.result, (each.partition, each.last_offset)
        known = self.published.of(result.call_id)
        why = whole(result, known, self.published)
        if why is not None:
            self.counts.unjudged[why.why] += 1
            return why
        if known is None:
            return self._difference(Kind.NO_RESULT, None, each.outcome, row)
        if known.digest == compared_digest(result, joined=bool(known.digest & 1)):
            if not self.selection.wants_outcome(result):
                return None
            if self.shown_otherwise(result):
                return self._difference(Kind.STATUS, result, each.outcome, row)
            self.counts.kinds[Kind.SAME] += 1
            return None
        kind = Kind.CHANGED if known.version == result.version else Kind.MORE_ROWS
        spool.put(known.place, _Stored(kind, each.outcome, row))
        return None

    def _difference(
        self, kind: Kind, before: CallResult | None, after: Classification, row: tuple[int, int]
    ) -> Difference | None:
        wanted = self.selection.wants_outcome
        if not wanted(after.result) and (before is None or not wanted(before)):
            return None
        self.counts.kinds[kind] += 1
        self.counts.results[None if before is None else before.result, after.result.result] += 1
        return Difference(kind, before, after, row)


def whole(result: CallResult, known: PublishedCall | None, published: PublishedResults) -> NotJudged | None:
    """Why a call was not judged from all of its rows; None: as far as results and letters tell, it was."""
    rows = result.version_row_id, result.version_rows
    if known is not None and not covers(rows, known.rows):
        there = f"up to id {known.rows[0]}, {known.rows[1]} of them"
        words = f"its result holds rows {there}; read were {rows[1]}, up to id {rows[0]}: read a longer stretch"
        return NotJudged(result.call_id, Unjudged.FEWER_ROWS, words)
    if known is None and published.was_withheld(result.call_id):
        linkedid = result.linkedid
        words = f"the worker withheld it, for rows may be lost: cel2crm backfill --call {linkedid} --pbx {result.pbx}"
        return NotJudged(result.call_id, Unjudged.ROWS_LOST, words)
    return None
