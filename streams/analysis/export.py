"""The truth about each call as Parquet files by day: what `cel2crm export` does.

Twice over each topic: first, which version of each call counts and how many legs it has; then its rows, for the days
whose files do not hold that already. So a run that was cut off, or one a day later, writes only what is missing.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from schemas import MalformedRecord
from streams.analysis.day_files import LEGS, RESULTS, DayFile, Standing, content_of, standings_in
from streams.analysis.erased_days import blank_files, leg_of
from streams.analysis.one_export import alone, begin_ms, date_of
from streams.analysis.truth import read_result
from streams.calls.call import MAX_ROWS
from streams.calls.result_headers import PROCESSED, origin_of
from streams.clock import MICROS_PER_DAY
from streams.errors import UserError
from streams.kafka.topic_client import Headers
from streams.operations.complete_until import PbxComplete, read_complete_until
from streams.operations.connection import Connection
from streams.operations.erased_numbers import erased_numbers
from streams.privacy.erased import ErasedNumbers
from streams.topics import CALL_LEGS, CALL_RESULTS

_EARLIER_MS = 24 * 3_600_000
_MAX_WAITING = 50_000
"""Rows of all days in memory, at a few KB each."""


@dataclass(slots=True)
class _Call:
    day: int
    """Days from 1970, UTC, of its start."""
    version: int
    correction: int
    legs: int = 0
    """Bit n: leg n is on its topic, and has not been written."""
    written: bool = False

    @property
    def standing(self) -> Standing:
        return Standing(self.version, self.correction, self.legs.bit_count())


class WrittenDay(NamedTuple):
    """A day of the export."""

    day: str
    """Such as 2026-11-25."""
    calls: int
    legs: int
    changed: bool
    """Its files were written now; they held all of it already otherwise."""


@dataclass(slots=True)
class Export:
    """One run. Every method raises UserError: no broker, no such topic, no place for the files."""

    connection: Connection
    directory: Path
    first: date | None = None
    until: date | None = None
    """Calls that began on a day, UTC, from `first` on and before this one."""
    unreadable: int = 0
    """Records that could not be read."""
    complete: list[PbxComplete] = field(default_factory=list)
    """Until when the topics were complete before they were read: the files hold at least those calls of their days."""
    _calls: dict[str, _Call] = field(default_factory=dict)
    _erased: ErasedNumbers | None = None

    async def run(self, on_day: Callable[[WrittenDay], None]) -> None:
        """Write every day that is not there as it should be; `on_day` is called with each, in order."""
        with alone(self.directory):
            self._erased = await erased_numbers(self.connection)
            blank_files(self.directory, self._erased)
            with suppress(UserError):  # no such topic yet
                self.complete = await read_complete_until(self.connection)
            await self._learn()
            days: dict[int, dict[str, Standing]] = {}
            for call_id, call in self._calls.items():
                days.setdefault(call.day, {})[call_id] = call.standing
            plans = [self._plan(number, days[number]) for number in sorted(days)]
            with _opened([plan for plan in plans if plan.changed]) as opened:
                await self._write(opened)
                for plan in plans:
                    if plan.changed:
                        for file in (opened[LEGS, plan.number], opened[RESULTS, plan.number]):
                            file.close()
                            file.publish()
                    on_day(WrittenDay(plan.day, len(plan.calls), plan.legs, plan.changed))

    async def _learn(self) -> None:
        async for _, _, result in self._results():
            known = self._calls.get(result["call_id"])
            if known is None or (known.version, known.correction) < (result["version"], result["correction"]):
                day = result["started_at"] // MICROS_PER_DAY
                self._calls[result["call_id"]] = _Call(day, result["version"], result["correction"])
        self._calls = {call_id: call for call_id, call in self._calls.items() if self._is_meant(call.day)}
        async for leg, call in self._legs():
            call.legs |= 1 << leg["leg"]

    def _is_meant(self, day: int) -> bool:
        moment = date_of(day)
        return (self.first is None or self.first <= moment) and (self.until is None or moment < self.until)

    def _plan(self, number: int, on_topic: dict[str, Standing]) -> "_DayPlan":
        day = date_of(number).isoformat()
        in_files = standings_in(self.directory, day)
        kept = {
            call_id: each
            for call_id, each in in_files.items()
            if each >= on_topic.get(call_id, each) and not self._is_of_other_day(call_id, each, number)
        }
        calls = {**on_topic, **kept}
        content = _content(calls)
        told = {content_of(self.directory, kind, day) for kind in (LEGS, RESULTS)}
        return _DayPlan(self.directory, number, day, content, frozenset(kept), calls, told != {content})

    def _is_of_other_day(self, call_id: str, in_file: Standing, day: int) -> bool:
        """Whether a later version of a call, with an earlier row, began on another day."""
        call = self._calls.get(call_id)
        return call is not None and call.day != day and call.standing > in_file

    async def _write(self, opened: "dict[tuple[str, int], DayFile]") -> None:
        files = list(opened.values())
        async for origin, processed, result in self._results():
            call = self._calls.get(result["call_id"])
            if call is None or call.written or (call.version, call.correction) != _version_of(result):
                continue
            call.written = True
            file = opened.get((RESULTS, call.day))
            if file is not None and result["call_id"] not in file.kept:
                file.add({**result, "origin": origin, "processed_at": processed})
                _flush_longest(files)
        async for leg, call in self._legs():
            bit = 1 << leg["leg"]
            file = opened.get((LEGS, call.day))
            if call.legs & bit and file is not None and leg["call_id"] not in file.kept:
                call.legs &= ~bit
                file.add(leg)
                _flush_longest(files)

    async def _results(self) -> AsyncIterator[tuple[str, int | None, dict[str, Any]]]:
        """Origin, time of classification and fields of each result."""
        topic = self.connection.topic(CALL_RESULTS)
        self.unreadable = 0
        async for record in self.connection.topics.read(topic, since_ms=self._since_ms()):
            result = await read_result(self.connection, record)
            if result is None:
                self.unreadable += 1
            else:
                result = result if self._erased is None else self._erased.obeyed_result(result)
                yield origin_of(record.headers), _processed(record.headers), result.record()

    async def _legs(self) -> AsyncIterator[tuple[dict[str, Any], _Call]]:
        """Each leg of a version that counts, with its call."""
        topic = self.connection.topic(CALL_LEGS)
        async for record in self.connection.topics.read(topic, since_ms=self._since_ms()):
            try:
                leg = await self.connection.read(record, CALL_LEGS.schema)
            except MalformedRecord:
                self.unreadable += 1
                continue
            if not 0 < leg["leg"] <= MAX_ROWS:
                continue  # not ours: a call has no more channels than rows
            call = self._calls.get(leg["call_id"])
            if call is not None and (call.version, call.correction) == _version_of(leg):
                if self._erased is not None and len(self._erased):
                    leg = self._erased.obeyed_leg(leg_of(leg)).record()
                yield leg, call

    def _since_ms(self) -> int | None:
        if self.first is None:
            return None
        return max(0, begin_ms(self.first) - _EARLIER_MS)


@dataclass(frozen=True, slots=True)
class _DayPlan:
    directory: Path
    number: int
    day: str
    content: str
    kept: frozenset[str]
    calls: dict[str, Standing]
    changed: bool

    @property
    def legs(self) -> int:
        return sum(each.legs for each in self.calls.values())


@contextmanager
def _opened(plans: list[_DayPlan]) -> Iterator[dict[tuple[str, int], DayFile]]:
    """The files of these days, begun; what has not got its name at the end is removed."""
    opened = {
        (kind, plan.number): DayFile(plan.directory, kind, plan.day, plan.content, plan.kept)
        for plan in plans
        for kind in (LEGS, RESULTS)
    }
    try:
        for file in opened.values():
            file.begin()
        yield opened
    finally:
        for file in opened.values():
            file.discard()


def _content(calls: dict[str, Standing]) -> str:
    """A digest of which versions of which calls these are."""
    digest = blake2b(digest_size=16)
    for call_id in sorted(calls):
        digest.update(repr((call_id, *calls[call_id])).encode())
    return f"{len(calls)}/{digest.hexdigest()}"


def _flush_longest(files: list[DayFile]) -> None:
    longest = max(files, key=lambda each: each.waiting)
    if longest.waiting * 4 > _MAX_WAITING or sum(each.waiting for each in files) > _MAX_WAITING:
        longest.flush()


def _version_of(record: dict[str, Any]) -> tuple[int, int]:
    return record["version"], record["correction"]


def _processed(headers: Headers) -> int | None:
    text = next((value for name, value in headers if name == PROCESSED and value), b"")
    return int(text) if text.isdigit() else None
