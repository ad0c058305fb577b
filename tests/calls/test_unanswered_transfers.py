"""Attended transfers that do not wait for the answer: an attempt of the client's, and no call of their own."""

import pytest

from streams.calls.result import CallResult
from tests.calls.tables import cel, outcome

NAMED = (
    '"channel2_uniqueid":"@2","transferee_channel_uniqueid":"@0",'
    '"transfer_target_channel_name":"N/A","transfer_target_channel_uniqueid":"N/A"'
)
TRUNK = "PJSIP/carrier-01"
TALK = f"""
    0  start     {TRUNK}       0 num=79161234567 exten=74951001001 context=from-trunk
    0  app_start {TRUNK}       0 num=79161234567 exten=1041 context=from-did app=Dial
    0  start     PJSIP/1041-02 1 num=1041 context=from-internal
    3  answer    PJSIP/1041-02 1
    3  answer    {TRUNK}       0
    3  enter     PJSIP/1041-02 1
    3  enter     {TRUNK}       0 peer=PJSIP/1041-02
    10 start     PJSIP/1041-03 2 call=2 num=1041 exten={{dialled}} context=from-internal
    10 app_start PJSIP/1041-03 2 call=2 num=1041 exten={{dialled}} context=from-internal app={{app}}
    10 start     {{target}}     3 call=2 num={{dialled}} context={{context}}
    13 attendedtransfer PJSIP/1041-02 1 extra={{{{"app":"{{app}}","channel2_name":"PJSIP/1041-03",{{named}}}}}}
    13 exit      PJSIP/1041-02 1 peer={TRUNK}
    13 hangup    PJSIP/1041-02 1 cause=16
    13 end       PJSIP/1041-02 1
    13 exit      {TRUNK}       0
    13 hangup    PJSIP/1041-03 2 call=2 cause=16/NOANSWER
    13 end       PJSIP/1041-03 2 call=2
"""
IN_VAIN = f"""
    21 hangup    {{target}}     3 call=2 cause={{cause}}
    21 end       {{target}}     3 call=2
    21 over      {{target}}     3 call=2
    21 hangup    {TRUNK}       0 cause={{cause}}/ANSWER
    21 end       {TRUNK}       0
    21 over      {TRUNK}       0
"""
ANSWERED = f"""
    18 answer    {{target}}     3 call=2
    18 enter     {{target}}     3 call=2
    18 over      {{target}}     3 call=2
    18 enter     {TRUNK}       0 peer={{target}}
    48 exit      {TRUNK}       0 peer={{target}}
    48 exit      {{target}}     3 num={{dialled}}
    48 hangup    {{target}}     3 cause=16
    48 end       {{target}}     3
    48 hangup    {TRUNK}       0 cause=16/ANSWER
    48 end       {TRUNK}       0
    48 over      {TRUNK}       0
"""
INSIDE = {"target": "PJSIP/1042-04", "dialled": "1042", "context": "from-internal"}
OUTSIDE = {"target": "PJSIP/carrier-04", "dialled": "79995550202", "context": "from-trunk"}


def calls(end: str, **given: object) -> tuple[CallResult, CallResult]:
    """The client's call, and that of the question."""
    columns = {"app": "Dial", "named": NAMED, "cause": 17} | given
    rows = cel((TALK + end).format(**columns))
    main = [row for row in rows if row.linkedid == rows[0].linkedid]
    asked = [row for row in rows if row.linkedid != rows[0].linkedid]
    return outcome(main), outcome(asked)


@pytest.mark.parametrize("target", [INSIDE, OUTSIDE], ids=["inside", "outside"])
@pytest.mark.parametrize("named", [NAMED, '"bridge1_id":"a"'], ids=["asterisk 17", "asterisk 13"])
@pytest.mark.parametrize(("cause", "result"), [(17, 486), (19, 480), (21, 603), (20, 200), (34, 500)])
def test_the_new_attempt_decides(cause: int, result: int, named: str, target: dict[str, str]) -> None:
    call, asked = calls(IN_VAIN, cause=cause, named=named, **target)
    assert (call.answered, call.answered_by, call.result, call.talk_seconds) == (True, "1041", result, 10.0)
    assert call.transfers == ("1041 transferred to somebody before the answer",)
    assert (asked.answered, asked.abandoned) == (False, True)


@pytest.mark.parametrize("named", [NAMED, '"bridge1_id":"a"'], ids=["asterisk 17", "asterisk 13"])
@pytest.mark.parametrize(("target", "by"), [(INSIDE, "1042"), (OUTSIDE, "79995550202")], ids=["inside", "outside"])
def test_the_one_who_answers_then_talks_with_the_client(target: dict[str, str], by: str, named: str) -> None:
    call, asked = calls(ANSWERED, named=named, **target)
    assert (call.answered, call.answered_by, call.result, call.talk_seconds) == (True, by, 200, 40.0)
    assert call.transfers[0].endswith("before the answer")
    assert (asked.answered, asked.abandoned) == (False, True)


def test_a_queue_that_nobody_has_answered_is_named() -> None:
    call, _ = calls(IN_VAIN, app="Queue", cause=16, **INSIDE)
    assert call.transfers == ("1041 transferred to Queue before anybody answered",)


@pytest.mark.parametrize(("caller", "context"), [("SIP/1001-01", "from-internal"), ("PJSIP/carrier-01", "from-trunk")])
def test_a_call_whose_caller_and_legs_end_together_was_not_taken_over(caller: str, context: str) -> None:
    call = outcome(f"""
        0  start  {caller}         0 num=79161234567 exten=79995550202 context={context}
        1  start  PJSIP/carrier-04 1 num=79995550202 context=from-trunk
        9  hangup {caller}         0 cause=127/CANCEL
        9  end    {caller}         0
        11 hangup PJSIP/carrier-04 1 cause=16
        11 end    PJSIP/carrier-04 1
        11 over   PJSIP/carrier-04 1
    """)
    assert not call.abandoned


def test_a_question_that_was_answered_stays_a_call_of_the_employees() -> None:
    call = outcome("""
        0  start  PJSIP/1041-03    0 num=1041 exten=79995550202 context=from-internal
        1  start  PJSIP/carrier-04 1 num=79995550202 context=from-trunk
        4  answer PJSIP/carrier-04 1
        4  enter  PJSIP/carrier-04 1
        4  enter  PJSIP/1041-03    0 peer=PJSIP/carrier-04
        20 exit   PJSIP/1041-03    0 peer=PJSIP/carrier-04
        20 hangup PJSIP/1041-03    0 cause=16/ANSWER
        20 end    PJSIP/1041-03    0
        20 over   PJSIP/carrier-04 1
    """)
    assert (call.direction, call.answered, call.abandoned) == ("outgoing", True, False)


def test_asterisk_13_names_the_target_by_who_talks_from_then_on() -> None:
    call = outcome("""
        0  start  PJSIP/carrier-01 0 num=79161234567 exten=74951001001 context=from-trunk
        0  start  PJSIP/1041-02    1 num=1041 context=from-internal
        3  answer PJSIP/1041-02    1
        3  enter  PJSIP/1041-02    1
        3  enter  PJSIP/carrier-01 0 peer=PJSIP/1041-02
        20 exit   PJSIP/carrier-01 0 peer=PJSIP/1041-02
        20 enter  PJSIP/carrier-01 0 peer=PJSIP/1042-04
        20.001 attendedtransfer PJSIP/1041-02 1 extra={"bridge1_id":"a","channel2_name":"PJSIP/1041-03"}
        20.001 exit PJSIP/1041-02  1
        20.002 end  PJSIP/1041-02  1
        40 exit   PJSIP/1042-04    4 num=1042 peer=PJSIP/carrier-01
        40 exit   PJSIP/carrier-01 0
        40 hangup PJSIP/carrier-01 0 cause=16/ANSWER
        40 end    PJSIP/carrier-01 0
        40 over   PJSIP/carrier-01 0
    """)
    assert call.transfers == ("1041 transferred to 1042 after asking",)
    assert call.answered_by == "1042"
