"""The last row of each PBX on the topic that they share."""

import orjson
import pytest

from connectors.captured_rows import LAST_RECORDS, CapturedRows
from connectors.row_mark import RowMark
from streams.kafka.topic_client import Outgoing
from streams.settings import Settings
from tests.operations.memory import PARTITIONS, MemoryTopics

CEL = "cel2crm.cel"
SETTINGS = Settings.model_validate(
    {
        "pbxs": [
            {"name": "office"},
            {"name": "quiet", "database": {"column_name_aliases": {"cel_uniqueid": "uid"}}},
            {"name": "west"},
        ]
    }
)


def mark(row_id: int) -> RowMark:
    return RowMark(row_id, f"1.{row_id}", "2026-11-24 01:02:03")


def put(
    topics: MemoryTopics, pbx: str, row_id: int, *, partition: int = 0, commit_ms: int | None = None, op: str = "c"
) -> None:
    uniqueid = "uid" if pbx == "quiet" else "uniqueid"
    row = {
        "id": row_id, "eventtype": "CHAN_START", "eventtime": "2026-11-24T01:02:03Z", "linkedid": f"1.{row_id}",
        uniqueid: f"1.{row_id}", "__op": op, "__source_name": pbx,
        "__source_ts_ms": row_id * 1000 if commit_ms is None else commit_ms,
    }  # fmt: skip
    topics.put(Outgoing(CEL, b"1.1", orjson.dumps(row), partition))


async def test_busy_pbxs_do_not_hide_a_quiet_one_and_each_is_read_by_its_own_columns() -> None:
    topics = MemoryTopics()
    put(topics, "quiet", 7)
    for number in range(LAST_RECORDS):
        for pbx in ("office", "west"):
            put(topics, pbx, number)
    alone, shared = CapturedRows(SETTINGS), CapturedRows.of_all(SETTINGS)
    assert await alone.last("quiet", topics) is None
    assert await shared.last("quiet", topics) == mark(7)
    assert await shared.last("office", topics) == mark(LAST_RECORDS - 1)
    assert await shared.last("nobody", topics) is None


async def test_what_was_read_for_one_is_not_read_again_for_another() -> None:
    topics, shared = MemoryTopics(), CapturedRows.of_all(SETTINGS)
    put(topics, "office", 1)
    put(topics, "west", 2, partition=3)
    for pbx, row_id in (("office", 1), ("west", 2), ("office", 1)):
        assert await shared.last(pbx, topics) == mark(row_id)
    assert topics.readings == [CEL]
    put(topics, "west", 5, partition=2)
    assert await shared.last("west", topics) == mark(5)
    assert await shared.last("office", topics) == mark(1)
    assert topics.readings == [CEL] * 2


async def test_the_last_is_the_one_that_was_committed_last_and_backfilled_ones_do_not_count() -> None:
    topics, rows = MemoryTopics(), CapturedRows(SETTINGS)
    put(topics, "office", 8, partition=0)
    put(topics, "office", 6, partition=PARTITIONS - 1)
    put(topics, "office", 9, op="r")
    topics.put(Outgoing(CEL, b"1.1", b"no row", 1))
    assert await rows.last("office", topics) == mark(8)


async def test_a_clock_that_was_ahead_hides_later_rows_only_until_the_next_of_its_partition() -> None:
    topics, rows = MemoryTopics(), CapturedRows(SETTINGS)
    put(topics, "office", 3, commit_ms=9_000_000)
    assert await rows.last("office", topics) == mark(3)
    put(topics, "office", 4)
    assert await rows.last("office", topics) == mark(4)


@pytest.mark.parametrize("left", [0, 1])
async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(left: int) -> None:
    topics, rows = MemoryTopics(), CapturedRows(SETTINGS)
    for number in range(5):
        put(topics, "office", number)
    assert await rows.last("office", topics) == mark(4)
    topics.logs.clear()
    for number in range(left):
        put(topics, "office", 70 + number)
    assert await rows.last("office", topics) == mark(70 if left else 4)
    put(topics, "office", 80)
    assert await rows.last("office", topics) == mark(80)
