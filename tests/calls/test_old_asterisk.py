"""What Asterisk 1.8 to 11 and products on ARI log otherwise: one bridge row a talk, plain text in `extra`, Stasis."""

import pytest

from tests.calls.tables import classified, outcome

VAIN = """
    0  start  SIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
    0  start  SIP/1001-04    1 num=1001 exten=s context=from-internal
    9  hangup SIP/1001-04    1 extra={leg}
    9  end    SIP/1001-04    1
    9  hangup SIP/carrier-03 0 extra={extra}
    9  end    SIP/carrier-03 0
    9  over   SIP/carrier-03 0
"""


def test_transfer_and_pickup_before_asterisk_12_name_the_other_in_plain_text() -> None:
    call = outcome("""
        0  start         SIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  start         SIP/1001-04    1 num=1001 exten=s context=from-internal
        2  answer        SIP/1001-04    1
        2  answer        SIP/carrier-03 0
        2  bridge_start  SIP/carrier-03 0 peer=SIP/1001-04
        5  blindtransfer SIP/1001-04    1 extra=1002
        5  bridge_end    SIP/carrier-03 0 peer=SIP/1001-04
        5  hangup        SIP/1001-04    1 extra=16,SIP/1001-04
        5  end           SIP/1001-04    1
        5  start         SIP/1002-05    2 num=1002 exten=s context=from-internal
        6  pickup        SIP/1002-05    2 peer=SIP/1003-06
        7  answer        SIP/1002-05    2
        7  bridge_start  SIP/carrier-03 0 peer=SIP/1002-05
        9  bridge_end    SIP/carrier-03 0 peer=SIP/1002-05
        9  hangup        SIP/1002-05    2
        9  end           SIP/1002-05    2
        9  hangup        SIP/carrier-03 0
        9  end           SIP/carrier-03 0
        9  over          SIP/carrier-03 0
    """)
    assert (call.answered, call.talk_seconds, call.result) == (True, 5.0, 0)
    assert (call.transfers, call.pickups) == (("1001 transferred to 1002",), ("1003 picked up for 1002",))


def test_the_leavings_of_a_masquerade_are_no_leg() -> None:
    legs = classified("""
        0  start         SIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  start         SIP/1001-04    1 num=1001 exten=s context=from-internal
        2  answer        SIP/1001-04    1
        2  bridge_start  SIP/carrier-03 0 peer=SIP/1001-04
        4  start         AsyncGoto/SIP/carrier-03 2 num=79161234567 exten=s context=from-internal
        4  hangup        AsyncGoto/SIP/carrier-03<ZOMBIE> 2
        4  end           AsyncGoto/SIP/carrier-03<ZOMBIE> 2
        4  bridge_end    SIP/carrier-03 0 peer=SIP/1001-04
        4  hangup        SIP/1001-04    1
        4  end           SIP/1001-04    1
        8  hangup        SIP/carrier-03 0
        8  end           SIP/carrier-03 0
        8  over          SIP/carrier-03 0
    """).legs
    assert [leg.number for leg in legs] == ["79161234567", "1001"]


def test_who_is_alone_in_an_old_conference_talked_with_nobody() -> None:
    call = outcome("""
        0  start      SIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  answer     SIP/carrier-03 0
        0  app_start  SIP/carrier-03 0 app=MeetMe
        0  conf_start SIP/carrier-03 0
        1  conf_enter SIP/carrier-03 0
        5  conf_exit  SIP/carrier-03 0
        5  conf_end   SIP/carrier-03 0
        5  hangup     SIP/carrier-03 0
        5  end        SIP/carrier-03 0
        5  over       SIP/carrier-03 0
    """)
    assert (call.answered, call.handled_by) == (False, "conference")


@pytest.mark.parametrize(
    ("extra", "leg", "result", "cause"),
    [
        ("17,SIP/1001-04,BUSY", "17,,", 486, 17),
        ("0,,NOANSWER", "0,,", 0, 0),
        ("16,dialplan/builtin,NOANSWER", "16,,", 408, 16),
        ("1,,CHANUNAVAIL", "1,,", 404, 1),  # DIALSTATUS; CEL of Asterisk 12 and later has NOANSWER
        ("20,,CHANUNAVAIL", "20,,", 500, 20),
        ("34,,CONGESTION", "34,,", 500, 34),
        ("21,,CONGESTION", "21,,", 603, 21),
        ("0,SIP/carrier-03,CANCEL", "0,,", 480, 0),
        ("19,,", "19,,", 480, 19),
    ],
)
def test_cause_and_status_before_asterisk_12_are_plain_text(extra: str, leg: str, result: int, cause: int) -> None:
    call = outcome(VAIN.format(extra=extra, leg=leg))
    assert (call.result, call.hangup_cause, call.extra_usable, call.answered) == (result, cause, True, False)
    assert call.warnings == ()


@pytest.mark.parametrize("extra", ["17", "17,BUSY", "17,,busy", "17,,BUSY,1", "x,,BUSY", "1700,,BUSY", ",,BUSY", "-"])
def test_other_text_is_not_taken_for_a_cause(extra: str) -> None:
    call = outcome(VAIN.format(extra=extra, leg="17,,"))
    assert (call.result, call.extra_usable, call.warnings) == (0, False, ("extra_unusable",))


def test_a_cause_that_is_none_is_not_usable() -> None:
    assert outcome(VAIN.format(extra="128,,BUSY", leg="17,,")).warnings == ("extra_unusable",)


HOLD = 'extra={"bridge_id":"q","bridge_technology":"holding_bridge"}'
MIX = 'extra={"bridge_id":"m","bridge_technology":"simple_bridge"}'


def test_a_switchboard_on_ari_holds_the_caller_with_music_and_only_the_operator_is_somebody() -> None:
    call = outcome(f"""
        0  start  PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-extern
        0  answer PJSIP/carrier-03 0 app=Stasis
        2  enter  PJSIP/carrier-03 0 peer=Announcer/ARI_MOH-2;2 {HOLD}
        5  start  PJSIP/8000-04    1 num=8000 exten=s context=default
        5  exit   PJSIP/carrier-03 0 peer=Announcer/ARI_MOH-2;2 {HOLD}
        6  answer PJSIP/8000-04    1
        6  enter  PJSIP/carrier-03 0 {MIX}
        6  enter  PJSIP/8000-04    1 peer=PJSIP/carrier-03 {MIX}
        11 exit   PJSIP/carrier-03 0 peer=PJSIP/8000-04 {MIX}
        11 enter  PJSIP/carrier-03 0 peer=Announcer/ARI_MOH-3;2 {HOLD}
        11 exit   PJSIP/8000-04    1 {MIX}
        11 hangup PJSIP/8000-04    1 cause=16
        11 end    PJSIP/8000-04    1
        17 exit   PJSIP/carrier-03 0 peer=Announcer/ARI_MOH-3;2 {HOLD}
        17 hangup PJSIP/carrier-03 0 cause=16
        17 end    PJSIP/carrier-03 0
        17 over   PJSIP/carrier-03 0
    """)
    assert (call.direction, call.answered, call.answered_by, call.talked_with) == ("incoming", True, "8000", ("8000",))
    assert (call.talk_seconds, call.result) == (5.0, 200)


def test_two_who_wait_in_one_holding_bridge_do_not_talk() -> None:
    call = outcome(f"""
        0  start  PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        1  enter  PJSIP/carrier-03 0 peer=PJSIP/carrier-09 {HOLD}
        5  exit   PJSIP/carrier-03 0 peer=PJSIP/carrier-09 {HOLD}
        5  hangup PJSIP/carrier-03 0 cause=16
        5  end    PJSIP/carrier-03 0
        5  over   PJSIP/carrier-03 0
    """)
    assert (call.answered, call.talked_with, call.talk_seconds) == (False, (), 0.0)
