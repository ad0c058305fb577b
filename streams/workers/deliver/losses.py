"""Results that a delivery worker cannot take any more: gone before it took them, or passed over by hand."""

from collections.abc import AsyncIterator, Sequence

import structlog
from aiokafka import TopicPartition
from faust.types import TP

from streams.clock import MICROS_PER_SECOND, UtcMicros, utc_now_us
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.routing import portal_of
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.committed import Committed
from streams.kafka.dead_letters import DeadLetters
from streams.kafka.faust_overrides import Consumer
from streams.kafka.lost_records import (
    EXPIRED,
    LOG_LOST,
    MADE_AGAIN,
    SET_BY_HAND,
    LossReporter,
    Lost,
    start_offset,
    wall_clock,
)
from streams.settings import PortalSettings, Settings
from streams.workers.deliver import metrics
from streams.workers.deliver.commit_mark import commit_mark, is_ours, log_since_of
from streams.workers.deliver.states import DeliveryStates

_LAST_TAKEN = 20
"""So many results before the committed offset are looked at: does the log know them?"""

_log = structlog.get_logger("deliver")


class ResultLosses:
    """Looks for lost results of one CRM's portals, and tells them (lost_records.py)."""

    def __init__(
        self,
        settings: Settings,
        crm: str,
        portals: Sequence[PortalSettings],
        dead_letters: DeadLetters,
        group: Consumer,
        remember_us: int,
    ) -> None:
        """`remember_us`: how long delivery remembers a call."""
        self._settings = settings
        self._crm = crm
        self._portals = portals
        self._group = group
        self._remember_us = remember_us
        self._newest_ms: int | None = None
        self._reporter = LossReporter(dead_letters, DeadLetterReason.EXPIRED_RESULTS, " --deliver", self._count)

    async def look_at_start(self, tp: TP, committed: Committed | None, first: int, states: DeliveryStates) -> UtcMicros:
        """Tell what lies between the work that is in the log and where a partition of results is read from.

        Returns since when the log tells of every call (commit_mark.py). Raises KafkaError, OSError or TimeoutError.
        """
        if committed is None:
            return 0
        start = start_offset(committed, first)
        log_since = log_since_of(committed.metadata)
        if is_ours(committed.metadata) and first < start:
            if states.newest_change is None:
                log_since = await self._look_at_unknown_calls(tp, first, start, states, log_since, LOG_LOST)
            elif await self._knows_none_of_the_last(tp, max(first, start - _LAST_TAKEN), start, states, log_since):
                log_since = await self._look_at_unknown_calls(tp, first, start, states, log_since, MADE_AGAIN)
        if committed.offset < first:
            await self._report(Lost(tp, committed.offset, first, EXPIRED, self._since(states)))
        elif not is_ours(committed.metadata) and (done := states.last_result + 1) < start:
            passed = await self._not_delivered(tp, max(done, first), start, states)
            if passed is not None:
                await self._report(passed)
        return log_since

    async def _look_at_unknown_calls(
        self, tp: TP, first: int, start: int, states: DeliveryStates, log_since: UtcMicros, cause: str
    ) -> UtcMicros:
        """Tell where results count as taken of which the log should tell and does not; since when it tells of every
        call.

        What delivery may have forgotten by its age does not count, nor what was taken before a loss that was told.
        """
        now = utc_now_us()
        lost = await self._not_delivered(tp, first, start, states, self._kept_ms(now, log_since))
        if lost is None:
            return log_since
        await self._report(lost._replace(cause=cause))
        # At once: until the next result there may be no commit, and a restart would tell it again.
        await self._group.commit_marked(tp, start, commit_mark(now))
        return now

    async def _knows_none_of_the_last(
        self, tp: TP, start: int, end: int, states: DeliveryStates, log_since: UtcMicros
    ) -> bool:
        """Whether the log knows none of the results before the committed offset, so that these are others.

        A topic that was deleted and made again at once takes a commit that was meant for the one before.
        """
        wanted = [
            states.remembers(call_id)
            async for call_id, _, _ in self._wanted(tp, start, end, self._kept_ms(utc_now_us(), log_since))
        ]
        return bool(wanted) and not any(wanted)

    def _kept_ms(self, now: UtcMicros, log_since: UtcMicros) -> int:
        """Results that were written since then (Unix milliseconds) are in the log."""
        return max(now - self._remember_us, log_since) // (MICROS_PER_SECOND // 1000)

    async def look_at_hole(self, tp: TP, position: int, offset: int) -> None:
        """Look at why a partition goes on at `offset`, beyond the next result: ends of transactions, or expiry."""
        first, _ = await self._group.bounds(tp)
        if (gone := min(first, offset)) > position:
            await self._report(Lost(tp, position, gone, EXPIRED, self._newest_ms))

    def taken(self, timestamp_ms: int) -> None:
        """Note when the newest result was written that was taken (Unix milliseconds; negative: not known)."""
        if timestamp_ms >= 0:
            self._newest_ms = timestamp_ms

    def log_commands(self, lost: Lost) -> None:
        """Tell of operators' commands that are gone."""
        _log.error(
            "operators' commands are gone before they were taken: give them again",
            topic=lost.tp.topic, partition=lost.tp.partition, first_lost_offset=lost.first,
            last_lost_offset=lost.next - 1,
        )  # fmt: skip

    async def _not_delivered(
        self, tp: TP, start: int, end: int, states: DeliveryStates, since_ms: int = 0
    ) -> Lost | None:
        """The results of start <= offset < end that a portal should have, and that the log does not know.

        `since_ms`: those that were written before do not count.

        An offset without our mark may also be one that release 0.1.0 committed: it marked none.
        """
        found = [
            (offset, written)
            async for call_id, offset, written in self._wanted(tp, start, end, since_ms)
            if not states.remembers(call_id)
        ]
        if not found:
            return None
        return Lost(tp, found[0][0], found[-1][0] + 1, SET_BY_HAND, min(written for _, written in found))

    async def _wanted(self, tp: TP, start: int, end: int, since_ms: int) -> AsyncIterator[tuple[str, int, int]]:
        """Call id, offset and time (Unix milliseconds) of the results that a portal of this CRM should have."""
        partition = TopicPartition(tp.topic, tp.partition)
        async with BoundedReader(self._settings.kafka, uncommitted=True) as reader:
            async for records in reader.read([partition], starts={partition: start}, ends={partition: end}):
                for record in records:
                    call_id = (record.key or b"").decode("utf-8", "replace")
                    wanted = portal_of(self._portals, call_id.partition("/")[0]) is not None
                    if wanted and record.timestamp >= since_ms and record.value is not None:
                        yield call_id, record.offset, record.timestamp

    async def _report(self, lost: Lost) -> None:
        """A call begins long before its result is written."""
        longest_ms = round(self._settings.aggregate.time_limit_seconds * 1000)
        since_ms = None if lost.since_ms is None else lost.since_ms - longest_ms
        await self._reporter.report(lost, wall_clock(self._settings, since_ms))

    def _since(self, states: DeliveryStates) -> int | None:
        newest = states.newest_change
        return None if newest is None else newest // (MICROS_PER_SECOND // 1000)

    def _count(self, partition: int, results: int) -> None:
        metrics.LOST.labels(self._crm, partition).inc(results)
        metrics.DEAD_LETTERS.labels(self._crm, DeadLetterReason.EXPIRED_RESULTS.code).inc()
