"""Records that a worker cannot take any more: removed by retention, or passed over by an offset that was set by hand.

They are told before the worker goes on: a line in the log, a metric, and one dead letter for each partition with the
command that recovers their calls.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import structlog
from faust.types import TP

from streams.clock import format_time, utc_now_ms, utc_now_us
from streams.dead_letter_reasons import REMEDY, DeadLetterReason
from streams.kafka.committed import Committed
from streams.kafka.dead_letters import DeadLetters, Origin
from streams.kafka.faust_overrides import Consumer
from streams.settings import Settings

EXPIRED = "retention removed them before they were taken"
NO_OFFSET = "retention removed them, and the group has no offset that tells whether they were taken"
MADE_AGAIN = "the topic was made again, or lost its end, and what it held before and was not taken is gone"
SET_BY_HAND = "the group's offset was set by hand to after them"
LOG_LOST = "the log of deliveries does not know their calls, as if its topic had been deleted: who waited is forgotten"

_MARGIN = timedelta(minutes=10)
_FURTHEST_WEST = timedelta(hours=12)
"""No zone's wall clock is further behind UTC."""
_CATCH_UP_SECONDS = 10.0
_LOOK_SECONDS = 0.5

_log = structlog.get_logger("worker")


class Lost(NamedTuple):
    """The offsets `first` <= offset < `next` of a partition, which were not taken; none: nobody knows which."""

    tp: TP
    first: int
    next: int
    cause: str
    since_ms: int | None = None
    """When the last record before them was written or committed, as far as known (Unix milliseconds)."""


class LossReporter:
    """Tells what was lost on one topic. `count`: the metric's child for a partition's number."""

    def __init__(
        self,
        dead_letters: DeadLetters,
        reason: DeadLetterReason,
        options: str,
        count: Callable[[int, int], None],
    ) -> None:
        """`options` of the command `backfill`, beside --since; `count(partition, records)` counts in a metric."""
        self._dead_letters = dead_letters
        self._reason = reason
        self._options = options
        self._count = count

    async def report(self, lost: Lost, since: str) -> None:
        """Tell; returns when the dead letter is on its topic. `since`: of `cel2crm backfill`."""
        command = f"cel2crm backfill --since {since}{self._options}"
        tp, last, records, now = lost.tp, lost.next - 1, lost.next - lost.first, format_time(utc_now_us())
        hint = "" if "--deliver" in command else "with --deliver where CRMs are to show them; "
        before = "" if lost.since_ms is None else f", after {format_time(lost.since_ms * 1000)}"
        _log.error(
            "records are lost to this worker: results of their calls lack them, or are missing",
            topic=tp.topic,
            partition=tp.partition,
            first_lost_offset=lost.first,
            last_lost_offset=last,
            since=None if lost.since_ms is None else format_time(lost.since_ms * 1000),
            found=now,
            cause=lost.cause,
            remedy=command,
        )
        self._count(tp.partition, records)
        what = f"offsets {lost.first} to {last}" if records else "records"
        explanation = (
            f"{what} of {tp.topic}, partition {tp.partition} ({records or 'nobody knows how many'} records"
            f"{before}, until {now}) were not processed: {lost.cause}. Bring their calls by: {command} "
            f"({hint}for each PBX with its own settings), and then drop this letter"
        )
        headers = [(REMEDY, command.encode())]
        origin = Origin(tp.topic, tp.partition, lost.first, None, None, headers, lost.since_ms)
        await (await self._dead_letters.send(origin, self._reason, explanation))


def wall_clock(settings: Settings, at_ms: int | None, pbx: str | None = None) -> str:
    """A PBX's own clock at a time (Unix milliseconds), or somewhat before, as `backfill --since` takes it.

    `at_ms` None: the time is not known, so it is that of the oldest record that Kafka may hold. `pbx` None: the clock
    of that PBX which is furthest behind, for a backfill of all of them.
    """
    if pbx is None:
        return min(wall_clock(settings, at_ms, name) for name in settings.pbx_names)
    if at_ms is None:
        at_ms = utc_now_ms() - (settings.kafka.retention_days + 1) * 24 * 3600 * 1000
    moment = datetime.fromtimestamp(at_ms / 1000, UTC) - _MARGIN
    zone = settings.timezone_of(pbx)
    local = moment.astimezone(ZoneInfo(zone)) if zone else moment - _FURTHEST_WEST
    return local.strftime("%Y-%m-%dT%H:%M:%S")


def start_offset(committed: Committed | None, first: int) -> int:
    """The offset from which a partition is read: the committed one, if it is still there."""
    return first if committed is None else max(first, committed.offset)


async def positions(group: Consumer, tp: TP) -> tuple[Committed | None, int, int]:
    """The group's committed offset, and the first and the end offset of a partition that was just assigned.

    Where a topic was made again, or its end was lost with a broker, the offset is of what was there before: None. A
    broker that has just begun to lead a partition may know its end a moment late, so that is looked at for a while.
    Raises KafkaError or TimeoutError.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _CATCH_UP_SECONDS
    while True:
        committed = await group.committed_marked(tp)
        first, end = await group.bounds(tp)
        if committed is None or committed.offset <= end:
            return committed, first, end
        if loop.time() > until:
            _log.error(
                "the group's offset is beyond the end: the topic was made again, or lost its end; "
                "it is read from its first record",
                topic=tp.topic, partition=tp.partition, offset=committed.offset, end=end,
            )  # fmt: skip
            return None, first, end
        await asyncio.sleep(_LOOK_SECONDS)


async def end_reaching(group: Consumer, tp: TP, offset: int) -> int:
    """The end offset of a partition, as soon as it is `offset` or more; what it is after a while where it stays less.

    Raises KafkaError or TimeoutError.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _CATCH_UP_SECONDS
    while True:
        _, end = await group.bounds(tp)
        if end >= offset or loop.time() > until:
            return end
        await asyncio.sleep(_LOOK_SECONDS)
