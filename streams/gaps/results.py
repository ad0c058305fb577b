"""The topic against the results: calls whose rows the worker has taken, and that no result shows with all of them.

Beside a result, these account for a call's rows: a dead letter of each row that has one, a dead letter of the whole
call, and the worker's checkpoint while the call is open and within its time.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Set
from dataclasses import dataclass, field

from schemas import MalformedRecord
from streams.calls.call import Version, call_id
from streams.calls.segments import call_of
from streams.calls.snapshot import UnreadableSnapshot, checkpointed
from streams.clock import utc_now_ms
from streams.dead_letter_reasons import DeadLetterReason
from streams.gaps.call_tally import CallTally, covers
from streams.gaps.findings import CallGap
from streams.gaps.taken import Taken
from streams.gaps.topic import CallOnTopic, CelTopic
from streams.kafka.topic_client import partition_of
from streams.operations.connection import Connection
from streams.topics import AGGREGATE_CHECKPOINTS, CALL_RESULTS, DEAD_LETTERS
from streams.workers.aggregate.steps import Limits

SLACK_MS = 60_000
"""A call that is open for so much longer than it may be is overdue."""

_CLOCKS_APART_MS = 24 * 3_600_000

_OF_CALLS = frozenset((DeadLetterReason.NOT_CLASSIFIED.code, DeadLetterReason.ROWS_LOST.code))
"""Reasons of letters about a whole call, not about the row at their offset."""

Suspects = Mapping[int, Set[int]]
"""Hashes of linkedids, by partition of the `cel` topic."""


@dataclass(slots=True)
class _Letters:
    """The aggregate worker's dead letters."""

    places: set[tuple[int, int]] = field(default_factory=set)
    """Partition and offset of rows that have one."""
    calls: set[str] = field(default_factory=set)
    """Ids of calls that have one for all their rows."""


@dataclass(slots=True)
class ResultSide:
    """Compares calls with results. Every method raises UserError: no broker, no such topic."""

    connection: Connection
    cel: CelTopic
    taken: Taken
    since_ms: int | None
    """No record written before is read (Unix milliseconds)."""

    async def suspects(self, tallies: Mapping[int, CallTally]) -> Suspects:
        """The calls that no result shows as it should: most of them are accounted for otherwise."""
        known = [tally.numbers for tally in tallies.values()]
        async for linkedid, version in self._versions(lambda call: any(call in each for each in known)):
            for tally in tallies.values():
                tally.show(linkedid, version)
        found = {partition: frozenset(tally.not_shown()) for partition, tally in tallies.items()}
        return {partition: calls for partition, calls in found.items() if calls}

    async def not_accounted_for(self, suspects: Suspects) -> list[CallGap]:
        """Of these calls, those that nothing accounts for as of now."""
        taken = await self.taken()  # before all else: what it says is durable, and so can be read from here on
        wanted = {partition: calls for partition, calls in suspects.items() if taken.get(partition)}
        if not wanted:
            return []
        letters = await self._letters()
        every = frozenset().union(*wanted.values())
        versions: dict[int, Version] = {}
        async for linkedid, version in self._versions(every.__contains__):
            versions[linkedid] = max(version, versions.get(linkedid, (0, 0)))
        found: list[CallGap] = []
        kept = _KeptResults(self.connection)
        async for tally, calls in self.cel.calls(wanted, taken, letters.places, self.since_ms):
            rows = {linkedid: tally.rows_of(linkedid) for linkedid in calls}
            left = [each for each in calls if not covers(versions.get(each, (0, 0)), rows[each])]
            open_calls = await self._open({self._name(calls[each]) for each in left})
            for linkedid in left:
                call, name = calls[linkedid], self._name(calls[linkedid])
                if name in letters.calls or covers(open_calls.get(name, (0, 0)), rows[linkedid]):
                    continue
                if await kept.can_tell(name, call.written_ms):
                    found.append(CallGap(call.linkedid, call.first_id, call.last_id, rows[linkedid][1]))
        return found

    def _name(self, call: CallOnTopic) -> str:
        return call_id(self.connection.settings.pbx.name, call.linkedid)

    async def _versions(self, wanted: Callable[[int], bool]) -> AsyncIterator[tuple[int, Version]]:
        """The versions that results hold of the calls that are wanted, by the hash of their linkedid."""
        topic, prefix = self.connection.topic(CALL_RESULTS), f"{self.connection.settings.pbx.name}/".encode()
        # Rows bear the time of Connect's clock, results that of the worker's.
        since_ms = None if self.since_ms is None else max(0, self.since_ms - _CLOCKS_APART_MS)
        async for record in self.connection.topics.read(topic, since_ms=since_ms):
            key = record.key or b""
            if not key.startswith(prefix):
                continue
            linkedid = hash(key[len(prefix) :].decode("utf-8", "replace"))
            if not wanted(linkedid):
                continue
            try:
                fields = await self.connection.read(record, CALL_RESULTS.schema)
            except MalformedRecord:
                continue
            yield linkedid, (fields["version_row_id"], fields["version_rows"])

    async def _letters(self) -> _Letters:
        letters, cel = _Letters(), self.cel.name
        async for record in self.connection.topics.read(self.connection.topic(DEAD_LETTERS)):
            try:
                fields = await self.connection.read(record, DEAD_LETTERS.schema)
            except MalformedRecord:
                continue
            if fields["component"] != "aggregate" or fields["topic"] != cel:
                continue
            if fields["reason"] in _OF_CALLS:
                letters.calls.add(fields["call_id"] or "")
            elif fields["reason"] != DeadLetterReason.EXPIRED_ROWS.code:  # its offset is not that of a row
                letters.places.add((fields["partition"], fields["offset"]))
        return letters

    async def _open(self, names: Set[str]) -> dict[str, Version]:
        """The rows of those among these calls that the checkpoints hold as open, and within their time."""
        if not names:
            return {}
        values: dict[str, dict[str, bytes]] = {}
        async for record in self.connection.topics.read(self.connection.topic(AGGREGATE_CHECKPOINTS)):
            key = (record.key or b"").decode("utf-8", "replace")
            if (name := call_of(key)) not in names:
                continue
            if record.value is None:
                values.get(name, {}).pop(key, None)
            else:
                values.setdefault(name, {})[key] = record.value
        limits, now = Limits.of(self.connection.settings.aggregate), utc_now_ms()
        found = {}
        for name, records in values.items():
            try:
                read = checkpointed(records)[0].get(name)
                call = read.restored_call(name) if read else None
            except UnreadableSnapshot:
                continue  # the worker stops at it, with words of its own
            if read is None or call is None or read.snapshot.ended:
                continue
            if now - read.snapshot.last_row_ms <= limits.wait_ms(call.end) + SLACK_MS:
                found[name] = call.version
        return found


@dataclass(slots=True)
class _KeptResults:
    """From when on results are kept: retention may remove a result before the rows that it is made of."""

    connection: Connection
    _first: dict[int, int | None] = field(default_factory=dict)
    """By partition: when its first record was written, where it has lost some (Unix milliseconds)."""

    async def can_tell(self, name: str, written_ms: int) -> bool:
        """Whether a result of rows that were written until then would still be there."""
        topic = self.connection.topic(CALL_RESULTS)
        partition = partition_of(name.encode(), await self.connection.topics.partitions(topic))
        if partition not in self._first:
            self._first[partition] = await self._first_written(topic, partition)
        first = self._first[partition]
        return first is None or written_ms >= first

    async def _first_written(self, topic: str, partition: int) -> int | None:
        async for record in self.connection.topics.read(topic, [partition]):
            return record.timestamp_ms if record.offset else None
        # Nothing is left: whatever was written until now may have had its result there.
        ends = await self.connection.topics.ends(topic)
        return utc_now_ms() if ends.get(partition) else None
