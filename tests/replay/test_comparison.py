"""Calls judged anew beside the results that the aggregate worker's own state gave, over topics in memory."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import orjson
import pytest

from streams.calls.result import CallResult
from streams.kafka.topic_client import Outgoing, partition_of
from streams.replay import opening
from streams.replay.comparison import Difference, Found, Kind, Replay
from streams.replay.judge import Judged, NotJudged, Unjudged
from streams.replay.selection import CallTime, Selection
from streams.settings import Settings
from streams.topics import CEL
from tests.operations.memory import PARTITIONS, Operator
from tests.replay.memory import Live, MemorySource, capture
from tests.worker_installation import Row, recorded_rows


async def opened(operator: Operator, source: MemorySource, selection: Selection, settings: Settings) -> Replay:
    replay = await opening.replay_of(await operator.connection(), source, selection, settings)
    return await opening.with_results(replay)


def replayed(
    operator: Operator, source: MemorySource, selection: Selection | None = None, settings: Settings | None = None
) -> tuple[dict[str, Judged | NotJudged], Replay]:
    """Every call that a selection means, by its id."""

    async def run() -> tuple[dict[str, Judged | NotJudged], Replay]:
        replay = await opened(operator, source, selection or Selection(), settings or operator.settings)
        found: dict[str, Judged | NotJudged] = {}
        for place in replay.ranges:
            async for each in replay.judged(place):
                name = each.outcome.result.call_id if isinstance(each, Judged) else each.call_id
                assert name not in found, "each call is told once"
                found[name] = each
        return found, replay

    return asyncio.run(run())


def compared(
    operator: Operator, source: MemorySource, selection: Selection | None = None, settings: Settings | None = None
) -> tuple[list[Found], Replay]:
    """What differs."""

    async def run() -> tuple[list[Found], Replay]:
        replay = await opened(operator, source, selection or Selection(), settings or operator.settings)
        return [each async for each in replay.differences()], replay

    return asyncio.run(run())


def outcomes(found: dict[str, Judged | NotJudged]) -> dict[str, CallResult]:
    return {name: each.outcome.result for name, each in found.items() if isinstance(each, Judged)}


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_every_recorded_call_is_replayed_to_the_same_bytes_as_live(
    operator: Operator, source: MemorySource, live: Live, batch: int
) -> None:
    source.batch = batch
    found, replay = replayed(operator, source)
    told = outcomes(found)
    assert told == {name: result for name, result in live.highest.items() if name not in live.refused}
    encode = operator.serializer.encode
    assert all(
        encode("call_result", result.record()) == encode("call_result", live.highest[name].record())
        for name, result in told.items()
    )
    assert len(told) > 200 and not live.refused
    differences, replay = compared(operator, source)
    assert [each for each in differences if isinstance(each, Difference)] == []
    assert replay.counts.kinds[Kind.SAME] == len(told)


def small_topic(calls: int = 5) -> list[Row]:
    """The rows of the shortest recorded calls of one partition, interleaved as they were captured."""
    rows = recorded_rows()
    counts = Counter(row["linkedid"] for row in rows if partition_of(row["linkedid"].encode(), PARTITIONS) == 1)
    return timed(rows, {name for name, _ in counts.most_common()[-calls:]})


def one_call() -> list[Row]:
    """The rows of a long recorded call."""
    rows = recorded_rows()
    return timed(rows, {Counter(row["linkedid"] for row in rows[:600]).most_common(1)[0][0]})


def timed(rows: list[Row], names: set[str]) -> list[Row]:
    """The rows of these calls, one captured each second."""
    chosen = [row for row in rows if row["linkedid"] in names]
    begin = min(int(row["linkedid"].partition(".")[0]) for row in chosen)
    return [{**row, "__source_ts_ms": (begin + number) * 1000} for number, row in enumerate(chosen)]


def first_offsets(operator: Operator) -> dict[str, tuple[int, int]]:
    """By call: partition and offset of its first row."""
    found: dict[str, tuple[int, int]] = {}
    topic = operator.settings.kafka.topic(CEL)
    for partition in range(PARTITIONS):
        for record in operator.topics.logs[topic, partition]:
            found.setdefault(f"pbx1/{orjson.loads(record.value or b'')['linkedid']}", (partition, record.offset))
    return found


def test_at_every_offset_exactly_the_calls_that_begin_inside_are_judged_whole(
    operator: Operator, source: MemorySource
) -> None:
    capture(operator, small_topic())
    live = Live(operator).take_all()
    begin = first_offsets(operator)
    ends = asyncio.run(source.ends())
    partition = max(ends, key=lambda each: ends[each])
    for first in range(ends[partition]):
        selection = Selection(from_offsets={partition: first}, to_offsets={partition: min(first + 9, ends[partition])})
        found, _ = replayed(operator, source, selection)
        inside = {name for name, (at, offset) in begin.items() if at == partition and first <= offset < first + 9}
        assert outcomes(found) == {name: live.highest[name] for name in inside}, first
        assert set(found) == inside


def test_at_every_first_kept_offset_calls_whose_first_rows_have_expired_are_listed_and_no_other(
    operator: Operator, source: MemorySource
) -> None:
    capture(operator, small_topic())
    Live(operator).take_all()
    begin, ends = first_offsets(operator), asyncio.run(source.ends())
    topic = source.name
    last = dict.fromkeys(begin, 0)
    for partition in range(PARTITIONS):
        for record in operator.topics.logs[topic, partition]:
            last[f"pbx1/{(record.key or b'').decode()}"] = record.offset
    partition = max(ends, key=lambda each: ends[each])
    for kept in range(1, ends[partition]):
        operator.topics.begins[topic, partition] = kept
        found, _ = compared(operator, source)
        torn = {name for name, (at, first) in begin.items() if at == partition and first < kept <= last[name]}
        assert {each.call_id for each in found if isinstance(each, NotJudged)} == torn, kept
        assert not [each for each in found if isinstance(each, Difference)], kept


def later(rows: Iterable[Row], seconds: int, **fields: Any) -> list[Row]:
    return [{**row, "__source_ts_ms": row["__source_ts_ms"] + seconds * 1000, **fields} for row in rows]


def test_a_call_whose_rows_came_after_the_range_is_not_judged_from_the_others(
    operator: Operator, source: MemorySource
) -> None:
    rows = one_call()
    late = rows[2]
    capture(operator, [row for row in rows if row is not late])
    # The backfill brings every row of it two days later, as Debezium does.
    capture(operator, later(rows, 2 * 86_400, __op="r"))
    live = Live(operator).take_all()
    (name,) = live.highest
    assert live.highest[name].version_rows == len(rows)
    partition, first = first_offsets(operator)[name]
    bounded = Selection(from_offsets={partition: first}, to_offsets={partition: first + 1})
    (torn,), _ = compared(operator, source, bounded)
    assert isinstance(torn, NotJudged) and torn.why is Unjudged.FEWER_ROWS
    assert outcomes(replayed(operator, source)[0]) == {name: live.highest[name]}
    by_time = Selection(since=CallTime(live.highest[name].started_at, of_pbx=False))
    assert outcomes(replayed(operator, source, by_time)[0]) == {name: live.highest[name]}, "read to the topic's end"


@pytest.mark.parametrize(("place", "kinds"), [(2, [Kind.MORE_ROWS]), (4, [])], ids=["changes", "same"])
def test_a_row_that_live_refused_as_late_is_in_the_replay_and_such_calls_are_told_apart(
    operator: Operator, source: MemorySource, place: int, kinds: list[Kind]
) -> None:
    rows = one_call()
    late = rows[place]
    capture(operator, [row for row in rows if row is not late])
    begin = rows[0]["__source_ts_ms"] // 1000 + 100_000
    other = later(rows, 100_000, linkedid=f"{begin}.1", uniqueid=f"{begin}.1")
    capture(operator, [{**row, "id": row["id"] + 1_000} for row in other])  # moves the PBX's time past its deadline
    capture(operator, later([late], 100_000))
    live = Live(operator).take_all()
    name = f"pbx1/{late['linkedid']}"
    assert live.refused == {name}
    told = outcomes(replayed(operator, source)[0])[name]
    assert told.version_rows == live.highest[name].version_rows + 1
    found, replay = compared(operator, source)
    assert [each.kind for each in found if isinstance(each, Difference)] == kinds
    assert replay.counts.unjudged == {}


def test_a_call_that_is_not_over_is_not_judged(operator: Operator, source: MemorySource) -> None:
    rows = one_call()
    now = 4_000_000_000_000  # the topic is read up to now
    begun = [{**row, "__source_ts_ms": now} for row in rows if row["eventtype"] not in ("LINKEDID_END", "CHAN_END")]
    capture(operator, begun)
    found, _ = replayed(operator, source)
    (told,) = found.values()
    assert isinstance(told, NotJudged) and told.why is Unjudged.OPEN


def test_a_call_that_the_worker_withheld_is_not_judged_where_no_result_shows_it(
    operator: Operator, source: MemorySource
) -> None:
    rows = one_call()
    capture(operator, [row for row in rows if row is not rows[3]])
    letter: dict[str, Any] = {
        "key": None, "value": None, "headers": [], "topic": source.name, "partition": 0, "offset": 3,
        "timestamp": None, "component": "aggregate", "reason": "rows_lost", "explanation": "", "failed_at": 0,
        "call_id": f"pbx1/{rows[0]['linkedid']}", "portal": None,
    }  # fmt: skip
    operator.put("dead-letters", "dead_letter", "k", letter)
    (told,), _ = compared(operator, source)
    assert isinstance(told, NotJudged) and told.why is Unjudged.ROWS_LOST


def test_a_call_without_a_result_differs(operator: Operator, source: MemorySource) -> None:
    capture(operator, one_call())
    (told,), replay = compared(operator, source)
    assert isinstance(told, Difference) and told.kind is Kind.NO_RESULT and told.before is None
    assert replay.counts.differing == 1


def test_what_is_corrected_already_does_not_differ(operator: Operator, source: MemorySource, live: Live) -> None:
    name, result = next(iter(live.highest.items()))
    corrected = msgspec.structs.replace(result, client="+74950000000", correction=7, rules_hash="x", why=("y",))
    operator.result(corrected)
    operator.result(result)  # the worker sends the same version again
    found, replay = compared(operator, source)
    (told,) = (each for each in found if isinstance(each, Difference))
    assert told.kind is Kind.CHANGED and told.before == corrected and told.after.result.call_id == name
    assert replay.published.highest_correction == 7
    operator.result(msgspec.structs.replace(result, correction=8, rules_hash="z", rule="w"))
    assert not [each for each in compared(operator, source)[0] if isinstance(each, Difference)]


def test_rows_that_expire_while_they_are_read_leave_no_call_judged_from_the_others(
    operator: Operator, source: MemorySource
) -> None:
    capture(operator, small_topic())
    live = Live(operator).take_all()
    ends = asyncio.run(source.ends())
    partition = max(ends, key=lambda each: ends[each])
    source.gone_while_read = {partition: 5}
    found, _ = replayed(operator, source)
    begin = first_offsets(operator)
    torn = {name for name, (at, first) in begin.items() if at == partition and first < 5}
    told = outcomes(found)
    assert torn and not torn & set(told)
    assert all(told[name] == live.highest[name] for name in told)


def test_a_row_under_another_key_is_folded_into_its_call(operator: Operator, source: MemorySource) -> None:
    rows = one_call()
    for row in rows:
        operator.topics.put(Outgoing(source.name, b"other", orjson.dumps(row), partition=1))
    found, _ = replayed(operator, source)
    (told,) = outcomes(found).values()
    assert told.version_rows == len(rows)


@pytest.mark.parametrize(
    ("chosen", "means"),
    [
        (lambda result: Selection(calls=(result.call_id,)), lambda result, of: result.call_id == of.call_id),
        (lambda result: Selection(results=(result.result,)), lambda result, of: result.result == of.result),
        (lambda result: Selection(numbers=(str(result.client),)), lambda result, of: of.client in numbers(result)),
        (lambda result: Selection(trunks=(str(result.trunk),)), lambda result, of: result.trunk == of.trunk),
        (lambda result: Selection(pbxs=("office",)), lambda result, of: False),
        (
            lambda result: Selection(since=CallTime(result.started_at + result.utc_offset_seconds * 1_000_000)),
            lambda result, of: local(result) >= local(of),
        ),
        (
            lambda result: Selection(until=CallTime(result.started_at, of_pbx=False)),
            lambda result, of: result.started_at < of.started_at,
        ),
    ],
)
def test_a_selection_means_these_calls(
    operator: Operator, source: MemorySource, live: Live, chosen: Any, means: Any
) -> None:
    of = next(each for each in live.highest.values() if each.client and each.trunk and each.result == 486)
    _, replay = compared(operator, source, chosen(of))
    expected = {name for name, result in live.highest.items() if means(result, of)}
    assert replay.counts.kinds[Kind.SAME] == len(expected) < len(live.highest)


def numbers(result: CallResult) -> set[str | None]:
    return {result.caller, result.called, result.caller_e164, result.called_e164, result.client}


def local(result: CallResult) -> int:
    return result.started_at + result.utc_offset_seconds * 1_000_000


def test_a_call_is_meant_by_its_result_before_as_well(operator: Operator, source: MemorySource, live: Live) -> None:
    result = next(each for each in live.highest.values() if each.result == 486)
    operator.result(msgspec.structs.replace(result, result=603, result_name="Call rejected", correction=5))
    found, _ = compared(operator, source, Selection(results=(603,)))
    (told,) = (each for each in found if isinstance(each, Difference))
    assert told.after.result == result
