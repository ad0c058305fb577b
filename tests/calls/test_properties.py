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
from tests.calls.tables import EPOCH, RULES, folded, hangup

CHANNELS = [
    "PJSIP/trunk1-01",
    "PJSIP/1001-02",
    "PJSIP/1002-03",
    "Local/1002@x-04;1",
    "Local/1002@x-04;2",
    "CBAnn/8-05;1",
]
EVENTS = [
    "CHAN_START", "CHAN_END", "HANGUP", "ANSWER", "APP_START", "APP_END", "BRIDGE_ENTER", "BRIDGE_EXIT", "LINKEDID_END",
    "BLINDTRANSFER", "ATTENDEDTRANSFER", "PICKUP", "FORWARD", "PARK_START", "LOCAL_OPTIMIZE", "DTMF", "STREAM_BEGIN",
    "MY_EVENT",
]  # fmt: skip

text = st.text(max_size=12)
extras = st.one_of(
    st.just(""),
    text,
    st.builds(hangup, st.integers(-5, 9999), st.sampled_from(["", "ANSWER", "ANSWERED", "BUSY", "CANCEL", "FOO"])),
    st.sampled_from(['{"transferee_channel_uniqueid":"1.2"}', '{"pickup_channel":3}', '{"extension":null}', "[]"]),
)


@st.composite
def calls(draw: st.DrawFn) -> list[CelRow]:
    """Rows of one call: any events in any order, with plausible and damaged columns."""
    linkedid = draw(st.sampled_from([f"{EPOCH}.0", f"pbx-1-{EPOCH}.7", "x/у" * 50, ""])) or "0"
    size = draw(st.integers(1, 25))
    rows = []
    for row_id in range(1, size + 1):
        channel = draw(st.integers(0, len(CHANNELS) - 1))
        rows.append(
            CelRow(
                id=row_id,
                eventtype=draw(st.sampled_from(EVENTS)),
                eventtime=draw(
                    st.one_of(
                        st.integers(0, 59).map(lambda second: f"2026-11-22 23:23:{second:02}"),
                        st.sampled_from(["", "never", "2026-11-22T23:23:00.5Z", "NaN", "1795389780.25"]),
                    )
                ),
                linkedid=linkedid,
                uniqueid=linkedid if channel == 0 else f"{EPOCH}.{channel}",
                channame=CHANNELS[channel],
                cid_num=draw(st.sampled_from(["", "1001", "79161234567", "anonymous"])),
                exten=draw(st.sampled_from(["", "s", "1001", "79161234567", "*97"])),
                context=draw(st.sampled_from(["from-trunk", "from-internal", "x"])),
                appname=draw(st.sampled_from(["", "Dial", "Queue", "VoiceMail", "AppDial2"])),
                peer=draw(st.sampled_from(["", *CHANNELS, ",".join(CHANNELS), ",,"])),
                extra=draw(extras),
            )
        )
    return rows


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
        seconds = (result.ivr_seconds, result.queue_seconds, result.ringing_seconds, result.talk_seconds)
        assert all(each is None or each >= 0 for each in seconds)
        assert result.started_at <= result.ended_at
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
