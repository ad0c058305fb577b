"""CEL tables of other products and of old Asterisk versions: columns are missing, and the same events mean the same."""

import msgspec
import pytest

from streams.calls.result import CallResult
from streams.rows.row import CelRow
from tests.calls.tables import cel, outcome

OFFICE = """
    0  start     SIP/k4x2-0000001f 0 num=1045 exten=1001 context=default
    0  app_start SIP/k4x2-0000001f 0 num=1045 exten=s context=user app=Dial
    0  start     SIP/p9w7-00000020 1 num=1001 exten=s context=default
    3  answer    SIP/p9w7-00000020 1 num=1001
    3  answer    SIP/k4x2-0000001f 0 num=1045
    3  enter     SIP/k4x2-0000001f 0 num=1045
    3  enter     SIP/p9w7-00000020 1 num=1001
    7  exit      SIP/p9w7-00000020 1 num=1001
    7  hangup    SIP/p9w7-00000020 1
    7  end       SIP/p9w7-00000020 1
    7  exit      SIP/k4x2-0000001f 0
    7  hangup    SIP/k4x2-0000001f 0
    7  end       SIP/k4x2-0000001f 0
    7  over      SIP/k4x2-0000001f 0
"""
"""As many products keep it: no peer, no extra."""


def essentials(call: CallResult) -> tuple[object, ...]:
    return call.direction, call.caller, call.called, call.answered, call.answered_by


def test_channels_in_bridges_at_the_same_time_talk_where_no_row_names_a_peer() -> None:
    call = outcome(OFFICE)
    assert essentials(call) == ("internal", "1045", "1001", True, "1001")
    assert (call.talked_with, call.talk_seconds, call.result) == (("p9w7",), 4.0, 0)


def test_a_bridge_id_joins_where_no_row_names_a_peer() -> None:
    bridge = '{"bridge_id":"b1","bridge_technology":"simple_bridge"}'
    rows = [
        msgspec.structs.replace(row, extra=bridge) if row.eventtype.startswith("BRIDGE") else row for row in cel(OFFICE)
    ]
    assert outcome(rows).answered


def test_different_bridges_or_a_holding_bridge_join_nobody() -> None:
    rows = cel(OFFICE)
    apart = [_bridge(row, f"b{row.uniqueid[-1]}", "softmix") if "BRIDGE" in row.eventtype else row for row in rows]
    held = [_bridge(row, "b1", "holding_bridge") if "BRIDGE" in row.eventtype else row for row in rows]
    assert not outcome(apart).answered
    assert not outcome(held).answered


def _bridge(row: CelRow, name: str, technology: str) -> CelRow:
    return msgspec.structs.replace(row, extra=f'{{"bridge_id":"{name}","bridge_technology":"{technology}"}}')


def test_who_is_alone_in_a_conference_talks_with_nobody_without_peers_too() -> None:
    call = outcome("""
        0  start   SIP/k4x2-0000001f 0 num=1045 exten=4001 context=default
        1  answer  SIP/k4x2-0000001f 0
        1  enter   SIP/k4x2-0000001f 0 app=ConfBridge
        8  exit    SIP/k4x2-0000001f 0 app=ConfBridge
        8  hangup  SIP/k4x2-0000001f 0
        8  end     SIP/k4x2-0000001f 0
        8  over    SIP/k4x2-0000001f 0
    """)
    assert (call.answered, call.handled_by) == (False, "conference")


def test_group_through_local_channels_is_answered_without_peers() -> None:
    call = outcome("""
        0  start   PJSIP/a1-05      0
        0  answer  PJSIP/a1-05      0
        1  start   Local/g@grp-3;1  1
        1  start   Local/g@grp-3;2  2
        1  start   Local/h@grp-4;1  3
        1  start   Local/h@grp-4;2  4
        1  start   PJSIP/b2-06      5
        1  start   PJSIP/c3-07      6
        6  answer  PJSIP/c3-07      6
        6  answer  Local/h@grp-4;2  4
        6  enter   PJSIP/c3-07      6
        6  enter   Local/h@grp-4;2  4
        6  answer  Local/h@grp-4;1  3
        6  end     Local/g@grp-3;1  1
        6  hangup  Local/g@grp-3;1  1
        6  hangup  Local/g@grp-3;2  2
        6  end     Local/g@grp-3;2  2
        6  end     PJSIP/b2-06      5
        6  hangup  PJSIP/b2-06      5
        6  enter   Local/h@grp-4;1  3
        6  enter   PJSIP/a1-05      0
        6  exit    PJSIP/c3-07      6
        6  exit    Local/h@grp-4;1  3
        6  enter   PJSIP/c3-07      6
        6  end     Local/h@grp-4;1  3
        6  hangup  Local/h@grp-4;1  3
        6  exit    Local/h@grp-4;2  4
        6  end     Local/h@grp-4;2  4
        6  hangup  Local/h@grp-4;2  4
        9  exit    PJSIP/c3-07      6
        9  exit    PJSIP/a1-05      0
        9  hangup  PJSIP/a1-05      0
        9  end     PJSIP/a1-05      0
        9  end     PJSIP/c3-07      6
        9  hangup  PJSIP/c3-07      6
        9  over    PJSIP/c3-07      6
    """)
    assert (call.answered, call.talked_with) == (True, ("c3",))
    assert call.talk_seconds == pytest.approx(3.0)


def test_asterisk_11_logs_a_bridge_on_the_calling_channel_alone() -> None:
    call = outcome("""
        0  start        SIP/carrier-00000028 0 num=612345678 exten=1002 context=from-trunk
        0  app_start    SIP/carrier-00000028 0 num=612345678 exten=s context=user app=Dial
        0  start        SIP/hg63-00000013    1 num=1002 exten=s context=default
        4  answer       SIP/hg63-00000013    1 num=1002
        4  answer       SIP/carrier-00000028 0 num=612345678
        4  bridge_start SIP/carrier-00000028 0 num=612345678
        7  bridge_end   SIP/carrier-00000028 0 num=612345678
        7  hangup       SIP/hg63-00000013    1
        7  end          SIP/hg63-00000013    1
        7  hangup       SIP/carrier-00000028 0
        7  end          SIP/carrier-00000028 0
        7  over         SIP/carrier-00000028 0
    """)
    assert essentials(call) == ("incoming", "612345678", "1002", True, "1002")
    assert (call.talked_with, call.talk_seconds) == (("hg63",), 3.0)


def test_asterisk_11_names_the_peer_in_the_one_row() -> None:
    call = outcome("""
        0  start        SIP/carrier-00000028 0 num=612345678 exten=1002 context=from-trunk
        0  start        SIP/hg63-00000013    1 num=1002 exten=s context=default
        4  answer       SIP/hg63-00000013    1 num=1002
        4  bridge_start SIP/carrier-00000028 0 num=612345678 peer=SIP/hg63-00000013
        7  bridge_end   SIP/carrier-00000028 0 num=612345678 peer=SIP/hg63-00000013
        7  hangup       SIP/hg63-00000013    1 extra=16,SIP/hg63-00000013,
        7  end          SIP/hg63-00000013    1
        7  hangup       SIP/carrier-00000028 0 extra=16,SIP/hg63-00000013,ANSWER
        7  end          SIP/carrier-00000028 0
        7  over         SIP/carrier-00000028 0
    """)
    assert (call.answered, call.answered_by, call.talk_seconds) == (True, "1002", 3.0)
    assert (call.result, call.extra_usable, call.ended_by) == (200, True, "called")


@pytest.mark.parametrize("column", ["exten", "context", "cid_num", "appname", "extra", "cid_dnid"])
def test_answered_needs_none_of_the_other_columns(column: str) -> None:
    rows = cel("""
        0  start   PJSIP/a1-05 0 num=1001 exten=1002 context=from-internal
        0  start   PJSIP/b2-06 1 num=1002 context=from-internal
        2  answer  PJSIP/b2-06 1 app=AppDial
        2  enter   PJSIP/b2-06 1 app=AppDial
        2  enter   PJSIP/a1-05 0 app=Dial peer=PJSIP/b2-06
        5  exit    PJSIP/b2-06 1 app=AppDial
        5  hangup  PJSIP/b2-06 1 cause=16
        5  end     PJSIP/b2-06 1
        5  exit    PJSIP/a1-05 0
        5  hangup  PJSIP/a1-05 0 cause=16/ANSWER
        5  end     PJSIP/a1-05 0
        5  over    PJSIP/a1-05 0
    """)
    call = outcome([msgspec.structs.replace(row, **{column: ""}) for row in rows])
    assert (call.answered, call.talked_with, call.talk_seconds) == (True, ("b2",), 3.0)


def test_channels_are_told_apart_where_the_table_has_no_uniqueid() -> None:
    linkedid = "1795389780.0"
    rows = [
        msgspec.structs.replace(row, uniqueid=linkedid)
        for row in cel("""
            0  start   PJSIP/a1-05 0 num=1001 exten=1002 context=from-internal
            0  start   PJSIP/b2-06 1 num=1002 context=from-internal
            2  answer  PJSIP/b2-06 1
            2  enter   PJSIP/b2-06 1
            2  enter   PJSIP/a1-05 0 peer=PJSIP/b2-06
            5  exit    PJSIP/b2-06 1 peer=PJSIP/a1-05
            5  hangup  PJSIP/b2-06 1 cause=16
            5  end     PJSIP/b2-06 1
            5  exit    PJSIP/a1-05 0
            5  hangup  PJSIP/a1-05 0 cause=16/ANSWER
            5  end     PJSIP/a1-05 0
            5  over    PJSIP/a1-05 0
        """)
    ]
    call = outcome(rows)
    assert (call.answered, call.talked_with, call.answered_by) == (True, ("b2",), "1002")
    assert (call.hangup_cause, call.dial_status) == (16, "ANSWER")


def test_a_linkedid_that_is_no_channels_uniqueid_takes_the_first_channel_as_the_caller() -> None:
    call = outcome(
        cel(
            """
            0  start   SIP/a1-05 0 num=1001 exten=1002 context=from-internal
            0  start   SIP/b2-06 1 num=1002 context=from-internal
            2  answer  SIP/b2-06 1
            2  enter   SIP/b2-06 1
            2  enter   SIP/a1-05 0 peer=SIP/b2-06
            5  exit    SIP/a1-05 0 peer=SIP/b2-06
            5  hangup  SIP/a1-05 0 cause=16/ANSWER
            5  end     SIP/a1-05 0
            5  end     SIP/b2-06 1
            5  over    SIP/a1-05 0
            """,
            linkedid="123456789.1011",
        )
    )
    assert essentials(call) == ("internal", "1001", "1002", True, "1002")


def test_a_user_event_in_mid_call_changes_nothing() -> None:
    rows = cel("""
        0  start              PJSIP/trunk1-05 0 num=79161234567 exten=74951001001 context=from-trunk
        0  XIVO_USER_FWD      PJSIP/trunk1-05 0 num=79161234567 exten=forward_voicemail context=user
        1  start              PJSIP/1001-06 1 num=1001 context=from-internal
        4  WAZO_MISSED_CALL   PJSIP/trunk1-05 0 num=79161234567 exten=forward_voicemail context=user
        4  answer             PJSIP/trunk1-05 0 exten=pickup context=pickup app=Answer
        4  hangup             PJSIP/1001-06 1 cause=19
        4  end                PJSIP/1001-06 1
        9  hangup             PJSIP/trunk1-05 0 cause=19/NOANSWER
        9  end                PJSIP/trunk1-05 0
        9  over               PJSIP/trunk1-05 0
    """)
    call = outcome(rows)
    assert essentials(call) == ("incoming", "79161234567", "74951001001", False, None)
    assert (call.rang_last, call.result) == ("1001", 480)


@pytest.mark.parametrize(
    ("context", "number"),
    [
        ("from-trunk", "1603"),
        ("from-extern", "1603"),
        ("from-trunk-pjsip-office", "1603"),
        ("from-pstn-toheader", "1603"),
        ("from-did-direct", "1603"),
        ("from-sip-external", "1603"),
    ],
)
def test_contexts_that_let_outside_calls_in_beat_the_length_of_the_number(context: str, number: str) -> None:
    call = outcome(f"""
        0  start   SIP/gw-05 0 num={number} exten=91800 context={context}
        9  hangup  SIP/gw-05 0 cause=16/NOANSWER
        9  end     SIP/gw-05 0
        9  over    SIP/gw-05 0
    """)
    assert (call.direction, call.caller) == ("incoming", number)


@pytest.mark.parametrize(
    ("event", "caller", "dialled", "direction"),
    [("XIVO_INCALL", "1603", "91800", "incoming"), ("XIVO_OUTCALL", "1001", "**9642301", "outgoing")],
)
def test_a_user_event_of_the_pbx_tells_the_direction(event: str, caller: str, dialled: str, direction: str) -> None:
    call = outcome(f"""
        0  start   PJSIP/cul1-05 0 num={caller} exten={dialled} context=mycontext
        0  {event} PJSIP/cul1-05 0 num={caller} exten=s context=did
        1  start   PJSIP/dev3-06 1 exten=s context=mycontext
        5  hangup  PJSIP/dev3-06 1 cause=19
        5  end     PJSIP/dev3-06 1
        5  hangup  PJSIP/cul1-05 0 cause=19/NOANSWER
        5  end     PJSIP/cul1-05 0
        5  over    PJSIP/cul1-05 0
    """)
    assert (call.direction, call.caller, call.called) == (direction, caller, dialled)
