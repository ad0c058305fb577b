"""Which offsets of each partition are read for a selection: wider than asked, by the longest call."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from streams.clock import UtcMillis
from streams.errors import UserError
from streams.replay.selection import Selection
from streams.replay.source import CelSource
from streams.settings import Settings

CLOCKS_APART_MS = 24 * 3_600_000
"""A row is on the topic after its call began; the clocks of PBX and broker may be this far apart."""

_LONGEST_LIMIT_MS = 7 * 24 * 3_600_000
"""Where aggregate.time_limit_seconds is meant never to be met, a call may still be this long."""


class PartitionRange(msgspec.Struct, frozen=True):
    """The offsets of one partition: read_from <= offset < read_to; calls whose first row is from `first` to before
    `last` are meant."""

    partition: int
    kept_from: int
    """The first offset that the topic holds."""
    read_from: int
    first: int
    last: int
    read_to: int
    known_until_ms: UtcMillis
    """Rows written before then are not behind `read_to`."""
    expired: int = 0
    """Offsets that were asked for and that retention has removed."""

    @property
    def span(self) -> tuple[int, int, int]:
        """Partition, first offset, and the offset after the last."""
        return self.partition, self.read_from, self.read_to

    @property
    def rows(self) -> int:
        """Records that are read, at most."""
        return self.read_to - self.read_from


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a call may be, and how long it takes late rows."""

    longest_ms: int

    @classmethod
    def of(cls, settings: Settings) -> "Extent":
        """By the settings of the aggregate worker."""
        limits = settings.aggregate
        longest = round((limits.time_limit_seconds + limits.grace_seconds) * 1000)
        return cls(min(longest, _LONGEST_LIMIT_MS))


async def ranges_of(
    selection: Selection, source: CelSource, settings: Settings, now_ms: UtcMillis
) -> list[PartitionRange]:
    """The ranges, as the topic is now.

    A part of the topic is read on by the longest call on both sides. Times of calls are read from the first record that
    may hold one to the topic's end, for backfilled rows come late. Raises UserError: offsets out of range, no broker.
    """
    begins, ends = await source.begins(), await source.ends()
    partitions = selection.partitions(list(ends))
    _refuse_out_of_range(selection, source.name, ends)
    first, last = dict(begins), dict(ends)
    extent = Extent.of(settings)
    if selection.written_since_ms is not None:
        found = await source.since(selection.written_since_ms)
        first = {each: found.get(each, ends[each]) for each in partitions}
    if selection.written_until_ms is not None:
        found = await source.since(selection.written_until_ms)
        last = {each: found.get(each, ends[each]) for each in partitions}
    if selection.since is not None:
        found = await source.since(selection.since.earliest_us(settings) // 1000 - CLOCKS_APART_MS)
        first = {each: max(first[each], found.get(each, ends[each])) for each in partitions}
    expired = {each: max(0, begins[each] - selection.from_offsets.get(each, begins[each])) for each in partitions}
    first = {each: max(first[each], selection.from_offsets.get(each, 0)) for each in partitions}
    last = {each: min(last[each], selection.to_offsets.get(each, ends[each])) for each in partitions}
    found_ranges = []
    for each in partitions:
        begin = PartitionRange(
            each,
            begins[each],
            first[each],
            first[each],
            max(first[each], last[each]),
            ends[each],
            now_ms,
            expired[each],
        )
        found_ranges.append(await _widened(begin, selection, source, extent, ends[each]))
    return found_ranges


def _refuse_out_of_range(selection: Selection, topic: str, ends: Mapping[int, int]) -> None:
    for option, offsets in (("--from-offset", selection.from_offsets), ("--to-offset", selection.to_offsets)):
        for partition, offset in offsets.items():
            if offset > ends[partition]:
                raise UserError(
                    f"{option} {partition}:{offset} is out of range: partition {partition} of {topic} ends at "
                    f"{ends[partition]}",
                    "cel2crm replay plan, without offsets, shows the range of each partition.",
                )
    for partition, offset in selection.to_offsets.items():
        if offset <= selection.from_offsets.get(partition, -1):
            raise UserError(
                f"--to-offset {partition}:{offset} is not after --from-offset {partition}:"
                f"{selection.from_offsets[partition]}",
                "The offset after --to-offset is the first that is not meant any more.",
            )


async def _widened(
    found: PartitionRange, selection: Selection, source: CelSource, extent: Extent, end: int
) -> PartitionRange:
    if found.first >= found.last:
        return msgspec.structs.replace(found, read_to=found.read_from)  # nothing is meant
    if not selection.by_place:
        return found
    read_from, read_to, until_ms = found.kept_from, end, found.known_until_ms
    first_ms = await _written_at(source, found.partition, found.first, end)
    if found.first > found.kept_from and first_ms is not None:
        before = (await source.since(first_ms - extent.longest_ms)).get(found.partition, found.first)
        read_from = max(found.kept_from, min(found.first, before))
    last_ms = await _written_at(source, found.partition, found.last, end)
    if last_ms is not None:
        until_ms = min(until_ms, last_ms + extent.longest_ms)
        after = (await source.since(last_ms + extent.longest_ms)).get(found.partition)
        if after is None:
            until_ms = found.known_until_ms
        else:
            read_to = max(found.last, after)
    return msgspec.structs.replace(found, read_from=read_from, read_to=read_to, known_until_ms=until_ms)


async def _written_at(source: CelSource, partition: int, offset: int, end: int) -> int | None:
    """When the first record at or after an offset was written; None: there is none."""
    async for records in source.read(partition, offset, end, lambda _first, _next: None):
        return records[0].timestamp
    return None
