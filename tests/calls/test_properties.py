"""What holds for every call, generated ones included."""

import io
import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import fastavro
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas import load
from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.json_form import json_fields
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult
from streams.cli.classify.outcomes import Outcomes
from streams.rows.row import CapturedRow, CelRow
from streams.rules.results import RESULT_NAMES
from streams.settings import Settings
from tests.calls.generated import Exchange, calls, exchanges
from tests.calls.tables import RULES, folded


def result_of(call: Call) -> CallResult:
    return classify(call, RULES, PbxProfile()).result


@given(calls(), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_rows_changes_the_outcome(rows: list[CelRow], random: Random) -> None:
    at_once = folded(rows)
    shuffled = rows * 2
    random.shuffle(shuffled)
    again = folded(shuffled)
    assert (again.linkedid_end, again.channels_ended, again.version) == (
        at_once.linkedid_end, at_once.channels_ended, at_once.version,
    )  # fmt: skip
    assert again.to_bytes() == at_once.to_bytes()
    assert result_of(again) == result_of(at_once)


@given(calls())
def test_any_prefix_is_classified_and_a_snapshot_goes_on_where_it_was(rows: list[CelRow]) -> None:
    call = Call("pbx1", rows[0].linkedid)
    for row in rows:
        call = Call.from_bytes(call.to_bytes()) if call.version[1] else call
        assert call.add(row)
        result = result_of(call)
        assert result.result in RESULT_NAMES
        for table in RULES.tables.values():
            assert table.status(result).code in table.codes.meanings
    assert result_of(call) == result_of(folded(rows))


def through_avro(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Written and read again; times as they were, in microseconds."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, load(name), record)
    buffer.seek(0)
    read = fastavro.schemaless_reader(buffer, load(name), load(name))
    assert isinstance(read, dict)
    return {
        field: (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        if isinstance(value, datetime)
        else value
        for field, value in read.items()
    }


@given(calls())
def test_avro_gives_back_what_it_was_given(rows: list[CelRow]) -> None:
    result, legs = classify(folded(rows), RULES, PbxProfile())
    read = through_avro("call_result", result.record())
    assert read == result.record()
    assert CallResult.from_record(read) == result
    for leg in legs:
        assert msgspec.convert(through_avro("call_leg", leg.record()), CallLeg) == leg


@given(calls())
def test_json_lines_of_classify_give_back_the_result(rows: list[CelRow]) -> None:
    result = result_of(folded(rows))
    line = Outcomes(RULES, Settings()).json_line(result)
    assert line.endswith(b"}\n")
    fields = json.loads(line)
    kommo, bitrix24 = fields.pop("kommo"), fields.pop("bitrix24")
    assert (kommo is None) == (bitrix24 is None) == any("in no CRM: " in each for each in fields["why"])
    if bitrix24:
        assert bitrix24 == {"status": RULES.tables["bitrix24"].status(result).code}
        status = RULES.tables["kommo"].status(result)
        assert kommo == {"status": status.code, "text": status.text}
    fields["why"] = [each for each in fields["why"] if not each.startswith("in no CRM: ")]
    assert fields == json.loads(json.dumps(json_fields(result)))


@given(exchanges(), exchanges(), st.randoms(use_true_random=False))
def test_rows_of_calls_may_be_mixed(one: Exchange, other: Exchange, random: Random) -> None:
    others = [
        msgspec.structs.replace(row, linkedid=f"other-{row.linkedid}", uniqueid=f"other-{row.uniqueid}")
        for row in other.rows
    ]
    sources = [list(reversed(one.rows)), list(reversed(others))]
    mixed = []
    while waiting := [source for source in sources if source]:
        mixed.append(random.choice(waiting).pop())
    captured = [CapturedRow(**msgspec.structs.asdict(row), pbx="pbx1") for row in mixed]
    together = {result.linkedid: result for result in OfflineClassifier(RULES, PbxProfile()).classify(captured)}
    for rows in (one.rows, others):
        call = folded(rows)
        cut_short = not (call.linkedid_end or call.channels_ended)
        assert together[call.linkedid] == classify(call, RULES, PbxProfile(), cut_short=cut_short).result


@given(calls())
def test_no_time_runs_backwards(rows: list[CelRow]) -> None:
    result, legs = classify(folded(rows), RULES, PbxProfile())
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
def test_call_is_answered_if_the_calling_channel_was_in_a_bridge_with_another(exchange: Exchange) -> None:
    assert result_of(folded(exchange.rows)).answered == exchange.connected


@given(calls())
def test_outcome_hash_ignores_the_version_alone(rows: list[CelRow]) -> None:
    classified = result_of(folded(rows))
    moved = [msgspec.structs.replace(row, id=row.id + 1000) for row in rows]
    again = result_of(folded(moved))
    assert again.version > classified.version
    same = msgspec.structs.replace(
        again,
        version=classified.version,
        version_row_id=classified.version_row_id,
        version_rows=classified.version_rows,
        outcome_hash=classified.outcome_hash,
    )
    assert (again.outcome_hash == classified.outcome_hash) == (same == classified)
