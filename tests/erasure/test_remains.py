"""When Kafka has removed what nobody can change: by the topics' settings on the brokers, and honest where never."""

import pytest

from streams.clock import utc_now_ms
from streams.erasure.remains import gone_by, obeyed_until
from tests.erasure.conftest import COMPACTED, DAY, EXPIRES

NOW, NEWEST = utc_now_ms(), utc_now_ms() - 5 * DAY
MARGIN = 10 * 60_000


def test_what_expires_is_gone_once_its_segment_is_closed_and_old() -> None:
    assert gone_by(EXPIRES, NEWEST, NOW).by_ms == NEWEST + 31 * DAY + MARGIN


def test_what_is_replaced_is_gone_once_it_is_compacted() -> None:
    assert gone_by(COMPACTED, NEWEST, NOW).by_ms == NOW + 8 * DAY + MARGIN
    hourly = COMPACTED | {"segment.ms": "3600000"}
    assert gone_by(hourly, NEWEST, NOW).by_ms == NOW + 7 * DAY + 3_600_000 + MARGIN


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (EXPIRES | {"retention.ms": "-1"}, "retention.ms is -1"),
        (COMPACTED | {"max.compaction.lag.ms": str((1 << 63) - 1)}, "no max.compaction.lag.ms"),
        ({"cleanup.policy": "compact"}, "no max.compaction.lag.ms"),
    ],
)
def test_where_there_is_no_date_that_is_said(config: dict[str, str], words: str) -> None:
    gone = gone_by(config, NEWEST, NOW)
    assert gone.by_ms is None and words in gone.words


def test_a_topic_that_does_both_is_done_by_the_first() -> None:
    both = EXPIRES | COMPACTED | {"cleanup.policy": "compact,delete"}
    assert gone_by(both, NEWEST, NOW).by_ms == NOW + 8 * DAY + MARGIN
    only_expires = both | {"max.compaction.lag.ms": str((1 << 63) - 1)}
    assert gone_by(only_expires, NEWEST, NOW).by_ms == NEWEST + 31 * DAY + MARGIN


def test_the_hash_is_obeyed_until_all_is_gone_and_as_long_as_asked() -> None:
    times = {"a": gone_by(EXPIRES, NOW, NOW), "b": gone_by(COMPACTED, NOW, NOW)}
    assert obeyed_until(times, NOW, 0) == NOW + 31 * DAY + MARGIN
    assert obeyed_until(times, NOW, 3_650) == NOW + 3_650 * DAY
    never = times | {"c": gone_by(EXPIRES | {"retention.ms": "-1"}, NOW, NOW)}
    assert obeyed_until(never, NOW, 0) == NOW + 36_525 * DAY
