"""A member of a replay: judges the calls of its partitions into the replay's own topics, and commits how far it is.

A partition's committed offset is the first row of the oldest call that is still to be judged; before it is committed,
every result before it was taken by the brokers. Whoever goes on there reads the keys of the whole range again, so that
calls that were done before are passed, and judges the others: some a second time, to identical records.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from streams.calls.result import CallLeg, CallResult
from streams.calls.result_headers import ORIGIN, PROCESSED, REPLAY
from streams.clock import utc_now_us
from streams.kafka.client import Unreachable
from streams.kafka.committed import Committed
from streams.kafka.topic_client import Outgoing, partition_of
from streams.operations.connection import Connection
from streams.replay.comparison import Replay, whole
from streams.replay.control import Control, ControlLog, ReplayState, legs_topic, results_topic
from streams.replay.judge import Judged, NotJudged
from streams.replay.published import read_results
from streams.replay.ranges import PartitionRange

_SEND_RECORDS = 4_000
_PATIENCE_SECONDS = 180.0
_RETRY_SECONDS = 2.0
MOST_KEPT = 1_000
"""Calls that could not be judged which a member names at its end."""


class Progressed(msgspec.Struct, frozen=True):
    """The metadata of a commit: which replay it is of, and the calls whose first row stands before its offset."""

    replay: int
    """Control.correction."""
    judged: int = 0
    not_judged: int = 0


def progress_of(control: Control, committed: Mapping[int, Committed]) -> dict[int, tuple[int, Progressed]]:
    """How far each partition is: the offset from which it is read on, and what was done. Other commits do not count."""
    found = {}
    for place in control.ranges:
        offset, done = place.read_from, Progressed(control.correction)
        commit = committed.get(place.partition)
        if commit is not None:
            try:
                told = msgspec.json.decode(commit.metadata, type=Progressed)
            except msgspec.MsgspecError:
                told = None
            if told is not None and told.replay == control.correction:
                offset, done = commit.offset, told
        found[place.partition] = offset, done
    return found


def is_done(control: Control, progress: Mapping[int, tuple[int, Progressed]]) -> bool:
    """Whether every partition was read to its end."""
    return all(progress[place.partition][0] >= place.read_to for place in control.ranges)


class Group(Protocol):
    """The consumer group of a replay, with this process as a member. Every method raises UserError: no broker."""

    @property
    def assigned(self) -> Collection[int]:
        """The partitions that are this member's now."""

    async def committed(self) -> Mapping[int, Committed]:
        """What the group has committed."""
        ...

    async def commit(self, partition: int, offset: int, metadata: str) -> bool:
        """False: the partition is another member's by now."""
        ...


class Stopped(Exception):
    """The replay was cancelled, or dropped, while this member worked."""


@dataclass(slots=True)
class Member:
    """Works until the replay is done. `pause`: waits a moment while others work."""

    connection: Connection
    control: Control
    log: ControlLog
    group: Group
    replay: Replay
    pause: Callable[[], Awaitable[None]]
    not_judged: list[NotJudged] = field(default_factory=list)
    """The first of them."""
    judged: int = 0
    commit_seconds: float = 1.0
    check_seconds: float = 5.0
    """How often the control record is looked at."""
    _checked: float = 0.0
    _published_of: set[int] = field(default_factory=set)
    """Partitions of which the results were read."""

    async def run(self) -> None:
        """Raises UserError: no broker, no registry; Stopped."""
        while True:
            self._checked = 0.0
            await self._still_running()
            progress = progress_of(self.control, await patiently(self.group.committed))
            if is_done(self.control, progress):
                await self.log.change(self.control.name, _done)
                return
            own = [each for each in self.control.ranges if each.partition in self.group.assigned]
            left = [each for each in own if progress[each.partition][0] < each.read_to]
            if not left:
                await self.pause()
                continue
            await self._read_published([each.partition for each in own])
            await self._partition(left[0], *progress[left[0].partition])

    async def _partition(self, place: PartitionRange, start: int, before: Progressed) -> None:
        """One partition, from where it was left to its end, or until it is another member's."""
        pending: list[Outgoing] = []
        counts, now = _SettledCounts(before), asyncio.get_running_loop().time
        committed = now()
        async for batch in self.replay.batches(place, start):
            for first_offset, told in batch.calls:
                counts.add(first_offset, judged=await self._take(told, pending))
            over = batch.safe >= place.read_to
            if len(pending) >= _SEND_RECORDS or over:
                await self._send(pending)
                pending = []
            if now() - committed < self.commit_seconds and not over:
                continue
            await self._still_running()
            await self._send(pending)
            pending, committed = [], now()
            metadata = msgspec.json.encode(counts.before(batch.safe)).decode()
            if not await self.group.commit(place.partition, batch.safe, metadata):
                return

    async def _take(self, told: Judged | NotJudged, pending: list[Outgoing]) -> bool:
        """Add the records of a call; whether it was judged."""
        if isinstance(told, Judged):
            result = told.outcome.result
            why = whole(result, self.replay.published.of(result.call_id), self.replay.published)
            if why is None:
                if self.replay.selection.wants_outcome(result):
                    self.judged += 1
                    pending += await self._records(told)
                return True
            told = why
        if len(self.not_judged) < MOST_KEPT:
            self.not_judged.append(told)
        return False

    async def _records(self, told: Judged) -> list[Outgoing]:
        headers = ((ORIGIN, REPLAY.encode()), (PROCESSED, str(utc_now_us()).encode()))
        name, correction = self.control.name, self.control.correction
        result = corrected(told.outcome.result, correction)
        key = result.call_id.encode()
        found = [await self.connection.outgoing(results_topic(name), key, result.record())]
        for leg in told.outcome.legs:
            record = corrected(leg, correction).record()
            found.append(await self.connection.outgoing(legs_topic(name), key, record))
        return [each._replace(headers=(*each.headers, *headers)) for each in found]

    async def _send(self, records: list[Outgoing]) -> None:
        """Until the brokers have them; they may get some twice. Raises UserError: they stay away."""
        if records:
            await patiently(lambda: self.connection.topics.send(records))

    async def _still_running(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._checked and now - self._checked < self.check_seconds:
            return
        self._checked = now
        found = (await patiently(self.log.all)).get(self.control.name)
        if found is None or found.correction != self.control.correction or found.state is ReplayState.CANCELLED:
            raise Stopped

    async def _read_published(self, partitions: list[int]) -> None:
        """Read the results of the calls of these partitions, where it was not done yet."""
        if self._published_of >= set(partitions):
            return
        self._published_of |= set(partitions)
        total = len(await self.replay.source.ends())

        def wanted(key: bytes) -> bool:
            return partition_of(key.partition(b"/")[2], total) in self._published_of

        some = None if len(self._published_of) == total else wanted
        self.replay.published = await patiently(
            lambda: read_results(self.connection, None, self.replay.progress.results, some)
        )


_Outcome = TypeVar("_Outcome")
_Record = TypeVar("_Record", CallResult, CallLeg)


def corrected(record: _Record, correction: int) -> _Record:
    """A result or leg as a replay writes it."""
    return msgspec.structs.replace(record, correction=correction)


async def patiently(act: Callable[[], Awaitable[_Outcome]]) -> _Outcome:
    """The outcome of `act`, done again while no broker answers, for a few minutes. Raises UserError."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return await act()
        except Unreachable:
            if loop.time() > until:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


@dataclass(slots=True)
class _SettledCounts:
    """Counts calls once, though some are judged again: those whose first row stands before the committed offset."""

    base: Progressed
    _waiting: list[tuple[int, bool]] = field(default_factory=list)

    def add(self, first_offset: int, *, judged: bool) -> None:
        self._waiting.append((first_offset, judged))

    def before(self, offset: int) -> Progressed:
        settled = [judged for first, judged in self._waiting if first < offset]
        self._waiting = [each for each in self._waiting if each[0] >= offset]
        judged, not_judged = sum(settled), len(settled) - sum(settled)
        self.base = Progressed(self.base.replay, self.base.judged + judged, self.base.not_judged + not_judged)
        return self.base


def _done(found: Control | None) -> Control | None:
    """A cancelled one stays what it is."""
    if found is None or found.state is not ReplayState.RUNNING:
        return found
    return msgspec.structs.replace(found, state=ReplayState.DONE)
