"""When Kafka has removed what nobody can change: by the settings that a topic has on the brokers. Pure.

A topic that expires is removed by segments: a segment goes when its newest record is older than the retention, and the
newest segment is closed after `segment.ms`. A compacted topic loses what a later record replaced once its segments are
cleaned, at the latest `max.compaction.lag.ms` after they were written, as long as anything is written to the partition.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.clock import UtcMillis

_CHECK_MS = 10 * 60_000
"""Brokers look for expired segments every 5 minutes (log.retention.check.interval.ms); files go a minute later."""

_NEVER = 1 << 62
"""Kafka's way to say that there is no limit: the largest number of 64 bits, or near it."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The time after which a topic's old records are no more; `by_ms` None: there is no such time."""

    by_ms: UtcMillis | None
    words: str


def gone_by(config: Mapping[str, str], newest_ms: UtcMillis, now_ms: UtcMillis) -> Gone:
    """When a topic no longer holds what it was written up to `newest_ms`, or what is replaced now.

    `config`: every setting in force of the topic (KafkaAdmin.topics).
    """
    policy = {each.strip() for each in config.get("cleanup.policy", "delete").split(",")}
    times = [each for name in sorted(policy) if (each := _BY_POLICY[name](config, newest_ms, now_ms)).by_ms is not None]
    if times:
        return min(times, key=lambda each: each.by_ms or 0)
    return _BY_POLICY[min(policy)](config, newest_ms, now_ms)


def _expires(config: Mapping[str, str], newest_ms: UtcMillis, _: UtcMillis) -> Gone:
    retention, segment = _number(config, "retention.ms", 7 * 86_400_000), _number(config, "segment.ms", 7 * 86_400_000)
    if not 0 <= retention < _NEVER:
        return Gone(None, "its retention.ms is -1: it keeps records for ever, until it is set or the topic is deleted")
    return Gone(newest_ms + retention + segment + _CHECK_MS, "when its retention has passed, and its segment is closed")


def _is_compacted(config: Mapping[str, str], _: UtcMillis, now_ms: UtcMillis) -> Gone:
    lag, segment = _number(config, "max.compaction.lag.ms", _NEVER), _number(config, "segment.ms", 7 * 86_400_000)
    if lag >= _NEVER:
        return Gone(
            None, "when Kafka compacts it, which may be never: it has no max.compaction.lag.ms (cel2crm topics apply)"
        )
    by_ms = now_ms + lag + min(segment, lag) + _CHECK_MS
    return Gone(by_ms, "when Kafka has compacted it, by its max.compaction.lag.ms")


_BY_POLICY = {"delete": _expires, "compact": _is_compacted}


def _number(config: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(config.get(name, default))
    except ValueError:
        return default


def obeyed_until(times: Mapping[str, Gone], now_ms: UtcMillis, remember_days: int) -> UtcMillis:
    """Until when a number's hash must be obeyed: all that could bring it back is gone by then.

    `times`: of the topics that calls are made of; one that is never gone: a hundred years.
    """
    century = now_ms + 36_525 * 86_400_000
    latest = max((century if each.by_ms is None else each.by_ms for each in times.values()), default=now_ms)
    return max(latest, now_ms + remember_days * 86_400_000)
