"""Calls as `explain` tells them: rows in, story out."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from deploy.demo.recordings import RECORDINGS
from streams.calls.classify import classify, facts_and_result
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.truth import read_cases
from streams.explain.narrative import Narrative, narrate
from streams.explain.phrases import format_seconds
from streams.rows.row import CelRow, RowDecoder
from tests.calls.generated import calls
from tests.calls.tables import EPOCH, RULES, cel, folded

DECODER = RowDecoder()
CASES = {case["case"]: case for case in read_cases(RECORDINGS)}


def narrative_of(rows: list[CelRow] | str, profile: PbxProfile | None = None) -> Narrative:
    call = folded(cel(rows) if isinstance(rows, str) else rows)
    profile = profile or PbxProfile()
    facts, result = facts_and_result(call, RULES, profile)
    return narrate(facts, result, profile)


def story(rows: list[CelRow] | str, profile: PbxProfile | None = None) -> list[str]:
    """Each line with the seconds that have gone by."""
    narrative = narrative_of(rows, profile)
    first = narrative.moments[0].at
    return [f"{(moment.at - first) / 1_000_000:.1f} {moment.text}" for moment in narrative.moments]


def recorded(name: str, linkedid: str = "") -> list[str]:
    case = CASES[name]
    return story(rows_of(case, linkedid or case["linkedids"][0]))


def rows_of(case: dict[str, Any], linkedid: str) -> list[CelRow]:
    return [DECODER.from_columns(row) for row in case["cel"] if row["linkedid"] == linkedid]


def test_a_talk_is_told_with_who_rang_who_talked_and_who_hung_up() -> None:
    assert recorded("inbound_answered_callee_hangs_up") == [
        "0.0 79161234567 called 74951001001 through trunk1",
        "0.0 rang 1001 for 0.7 s: answered",
        "0.7 79161234567 talked with 1001 for 2.0 s",
        "2.7 1001 hung up",
    ]


def test_phones_that_rang_together_and_fared_alike_are_one_line() -> None:
    assert "0.0 rang 1001, 1002 and 1003 for 4.0 s: no answer" in recorded("inbound_ringgroup_none")


def test_a_picked_up_call_names_the_call_of_the_one_who_picked_up() -> None:
    assert recorded("inbound_pickup_directed")[2:4] == [
        "1.0 1002 picked up for 1001",
        "1.0 1002 came from call 1795389971.82",
    ]
    assert recorded("inbound_pickup_directed", "1795389971.82")[-1] == "0.0 went on in another call"


def test_an_attended_transfer_tells_the_question_and_the_talk_after_it() -> None:
    assert recorded("inbound_dtmf_att_transfer_answered")[3:] == [
        "1.9 1001 pressed *21002",
        "7.2 rang 1002 for 0.7 s: answered",
        "7.9 1001 and 1002 talked for 1.2 s",
        "9.1 79161234567 talked with 1002 for 4.0 s",
        "9.1 1001 transferred to 1002 after asking",
        "13.1 79161234567 hung up",
    ]


def test_whoever_transfers_leaves_and_the_others_talk_on() -> None:
    assert recorded("outbound_refer_transfer_answered")[-4:] == [
        "1.9 1001 left",
        "1.9 rang 1002 for 0.7 s: answered",
        "2.6 79261112233 and 1002 talked for 3.8 s",
        "6.4 the call ended",
    ]


def test_machines_are_no_people() -> None:
    lines = recorded("inbound_voicemail_after_noanswer")
    assert "4.0 the voicemail of 1001 took the call" in lines
    assert not any("talked" in line for line in lines)
    assert "0.0 79161234567 entered queue q700" in recorded("inbound_queue_abandoned")
    assert recorded("inbound_queue_abandoned")[-1] == "3.0 79161234567 gave up"


def test_vain_attempts_that_are_repeated_are_one_line() -> None:
    assert recorded("inbound_queue_all_busy")[3:] == [
        "0.0 rang 1001 and 1002 for 0.2 s: busy (10 times)",
        "12.1 the dialplan ended the call",
    ]


def test_of_a_call_file_no_row_names_who_was_called() -> None:
    assert recorded("callfile_noanswer")[0] == "0.0 Asterisk called somebody through trunk1: no answer"


def test_click_to_call_begins_with_asterisk() -> None:
    assert recorded("click2call_originate_ext_noanswer")[0] == "0.0 Asterisk called 1001: answered after 0.7 s"


def test_parking_that_nobody_ends_is_told_to_the_end() -> None:
    rows = """
        0 start PJSIP/trunk1-1 0 num=79161234567 exten=74951001001 context=from-trunk
        1 park_start PJSIP/trunk1-1 0 extra={"parker_dial_string":"PJSIP/1001","parking_lot":"default"}
        46 park_end PJSIP/trunk1-1 0 extra={"reason":"ParkedCallTimeOut"}
        50 hangup PJSIP/trunk1-1 0 cause=16/ANSWER source=PJSIP/trunk1-1
        50 end PJSIP/trunk1-1 0
        50 over PJSIP/trunk1-1 0
    """
    assert story(rows)[1:] == [
        "1.0 79161234567 was parked by 1001",
        "46.0 nobody took the parked call in time",
        "50.0 79161234567 gave up",
    ]
    assert narrative_of(rows).whole_seconds


def test_a_company_of_three_is_one_conversation() -> None:
    rows = """
        0 start PJSIP/trunk1-1 0 num=79161234567 exten=800 context=from-trunk
        0 start PJSIP/1001-2 1 num=1001 context=from-internal
        0 start PJSIP/1002-3 2 num=1002 context=from-internal
        1 enter PJSIP/trunk1-1 0 peer=PJSIP/1001-2
        5 enter PJSIP/1002-3 2 peer=PJSIP/trunk1-1,PJSIP/1001-2
        9 exit PJSIP/trunk1-1 0 peer=PJSIP/1001-2,PJSIP/1002-3
        9 exit PJSIP/1001-2 1
        9 exit PJSIP/1002-3 2
    """
    assert "1.0 79161234567 talked with 1001 for 4 s" in story(rows)
    assert "5.0 79161234567 talked with 1001 and 1002 for 4 s" in story(rows)


def test_a_call_cut_short_says_so() -> None:
    rows = "0 start PJSIP/trunk1-1 0 num=79161234567 exten=74951001001 context=from-trunk"
    assert story(rows)[-1] == "0.0 cut short: its rows stop without an end"


def test_where_no_bridges_are_logged_the_talk_that_was_classified_is_told() -> None:
    rows = """
        0 start PJSIP/trunk1-1 0 num=79161234567 exten=74951001001 context=from-trunk
        0 start PJSIP/1001-2 1 num=1001 context=from-internal
        4 answer PJSIP/1001-2 1
        14 hangup PJSIP/1001-2 1 cause=16
        14 hangup PJSIP/trunk1-1 0 cause=16/ANSWER source=PJSIP/trunk1-1
    """
    assert "4.0 79161234567 talked with 1001 for 10 s" in story(rows, PbxProfile(bridges_logged=False))


def test_without_bridge_rows_a_talk_is_told_if_and_only_if_one_was_classified() -> None:
    profile = PbxProfile(bridges_logged=False)
    classified = 0
    for case in CASES.values():
        for linkedid in {row["linkedid"] for row in case["cel"]}:
            rows = [row for row in rows_of(case, linkedid) if not row.eventtype.startswith("BRIDGE")]
            legs = classify(folded(rows), RULES, profile).legs
            talked = any(" talked " in line for line in story(rows, profile))
            assert talked == any(leg.talk_seconds for leg in legs), case["case"]
            classified += talked
    assert classified > 50


def test_a_row_whose_time_cannot_be_read_is_told_when_it_is_classified_to_be() -> None:
    rows = cel("""
        0 app_start PJSIP/trunk1-1 0 num=79161234567 exten=74951001001 context=from-trunk app=Queue appdata=q700
        2 start PJSIP/1001-2 1 num=1001 context=from-internal
        9 hangup PJSIP/trunk1-1 0 cause=16 source=PJSIP/trunk1-1
    """)
    moments = narrative_of([msgspec.structs.replace(rows[0], eventtime="soon"), *rows[1:]]).moments
    assert [moment.text for moment in moments[:2]] == [
        "79161234567 called 74951001001 through trunk1",
        "79161234567 entered queue q700",
    ]
    assert [moment.at // 1_000_000 - EPOCH for moment in moments] == [0, 0, 2, 9, 9]


@pytest.mark.parametrize(
    ("span", "shown"),
    [(0, "0 s"), (700_000, "0.7 s"), (2_000_000, "2 s"), (90_500_000, "90 s"), (150_000_000, "2 min 30 s"),
     (3_725_000_000, "1:02:05")],
)  # fmt: skip
def test_spans_are_told_as_people_say_them(span: int, shown: str) -> None:
    assert format_seconds(span) == shown


def test_in_every_recording_somebody_talked_if_and_only_if_the_call_was_answered() -> None:
    for case in CASES.values():
        for linkedid in {row["linkedid"] for row in case["cel"]}:
            rows = rows_of(case, linkedid)
            result = classify(folded(rows), RULES, PbxProfile()).result
            talked = any(" talked " in line for line in story(rows))
            by_itself = case["case"].startswith("callfile_")  # one channel alone: it answered, and heard a machine
            assert talked == result.answered or by_itself, case["case"]


@given(calls())
def test_any_rows_make_a_story_in_the_order_of_time(rows: list[CelRow]) -> None:
    moments = narrative_of(rows).moments
    assert moments == tuple(sorted(moments, key=lambda moment: moment.at))
    assert all(moment.text for moment in moments)
