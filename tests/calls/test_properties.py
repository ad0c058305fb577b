"""What holds for every call, generated ones included."""

import io

import fastavro
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import load
from streams.calls.call import Call
from streams.calls.judge import judge
from streams.calls.result import CallResult
from streams.calls.site import Site
from streams.rows.row import CelRow
from streams.rules.results import RESULT_NAMES
from streams.rules.statuses import BITRIX24_STATUSES, KOMMO_STATUSES
from tests.calls.generated import Exchange, calls, exchanges
from tests.calls.tables import RULES, folded


def result_of(call: Call) -> CallResult:
    return judge(call, RULES, Site()).result


@given(calls(), st.randoms(use_true_random=False))
@settings(max_examples=120, deadline=None)
def test_neither_order_nor_repetition_of_rows_changes_the_outcome(rows: list[CelRow], random: object) -> None:
    at_once = folded(rows)
    shuffled = rows * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = folded(shuffled)
    assert (again.linkedid_end, again.channels_ended, again.version) == (
        at_once.linkedid_end, at_once.channels_ended, at_once.version,
    )  # fmt: skip
    assert again.to_bytes() == at_once.to_bytes()
    assert result_of(again) == result_of(at_once)


@given(calls())
@settings(max_examples=60, deadline=None)
def test_any_prefix_is_judged_and_a_snapshot_goes_on_where_it_was(rows: list[CelRow]) -> None:
    call = Call("pbx1", rows[0].linkedid)
    for row in rows:
        call = Call.from_bytes(call.to_bytes()) if call.version[1] else call
        assert call.add(row)
        result = result_of(call)
        assert result.result in RESULT_NAMES
        assert RULES.bitrix24.status(result) in BITRIX24_STATUSES
        assert RULES.kommo.status(result).status in KOMMO_STATUSES
    assert result_of(call) == result_of(folded(rows))


@given(calls())
@settings(max_examples=60, deadline=None)
def test_avro_and_json_give_back_what_they_were_given(rows: list[CelRow]) -> None:
    judgement = judge(folded(rows), RULES, Site())
    schema = load("call_result")
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, judgement.result.record())
    buffer.seek(0)
    read = fastavro.schemaless_reader(buffer, schema, schema)
    assert isinstance(read, dict)
    assert CallResult.from_record(read) == judgement.result
    assert msgspec.json.decode(msgspec.json.encode(judgement.result), type=CallResult) == judgement.result
    for leg in judgement.legs:
        fastavro.schemaless_writer(io.BytesIO(), load("call_leg"), leg.record())


@given(calls())
@settings(max_examples=60, deadline=None)
def test_no_time_runs_backwards(rows: list[CelRow]) -> None:
    result, legs = judge(folded(rows), RULES, Site())
    for each in (result.ivr_seconds, result.queue_seconds, result.ringing_seconds, result.talk_seconds):
        assert each is None or each >= 0
    assert result.started_at <= result.ended_at
    if result.answered_at is not None:
        assert result.started_at <= result.answered_at <= result.ended_at
    assert (result.talk_seconds or 0) <= (result.ended_at - result.started_at) / 1_000_000
    for leg in legs:
        assert leg.ring_seconds is None or leg.ring_seconds >= 0
        assert leg.talk_seconds is None or leg.talk_seconds >= 0


@given(exchanges())
@settings(max_examples=120, deadline=None)
def test_call_is_answered_if_the_calling_channel_was_in_a_bridge_with_another(exchange: Exchange) -> None:
    assert result_of(folded(exchange.rows)).answered == exchange.connected


@given(calls())
@settings(max_examples=50, deadline=None)
def test_outcome_hash_ignores_the_version_alone(rows: list[CelRow]) -> None:
    judged = result_of(folded(rows))
    moved = [msgspec.structs.replace(row, id=row.id + 1000) for row in rows]
    again = result_of(folded(moved))
    assert again.version > judged.version
    same = msgspec.structs.replace(
        again,
        version=judged.version,
        version_row_id=judged.version_row_id,
        version_rows=judged.version_rows,
        outcome_hash=judged.outcome_hash,
    )
    assert (again.outcome_hash == judged.outcome_hash) == (same == judged)
