"""Calls whose rows stop: Asterisk was killed, or the machine lost power (kill -9: no HANGUP, no LINKEDID_END)."""

from streams.calls.call import Call
from tests.calls.tables import cel, classified, outcome

RINGING = """
    0  start      PJSIP/carrier-01 0 num=79161234567 exten=74951001001 context=from-trunk
    0  app_start  PJSIP/carrier-01 0 exten=1001 context=from-internal app=Dial
    0  start      PJSIP/1001-02    1 num=1001 context=from-internal
"""
TALKING = f"""{RINGING}
    2  answer     PJSIP/1001-02    1 app=AppDial
    2  answer     PJSIP/carrier-01 0 app=Dial
    2  enter      PJSIP/1001-02    1
    2  enter      PJSIP/carrier-01 0 peer=PJSIP/1001-02
"""


def test_a_ringing_call_that_was_killed_is_a_missed_one_and_says_that_it_was_cut_short() -> None:
    call = outcome(RINGING, cut_short=True)
    assert (call.direction, call.answered, call.result, call.complete) == ("incoming", False, 0, False)
    assert (call.rang_last, call.ended_by, call.hangup_cause) == ("1001", None, None)
    assert any("cut short" in sentence for sentence in call.why)


def test_a_talk_that_was_killed_is_answered() -> None:
    call = outcome(TALKING, cut_short=True)
    assert (call.answered, call.answered_by, call.talked_with) == (True, "1001", ("1001",))
    assert (call.result, call.extra_usable, call.complete) == (0, False, False)


def test_how_long_they_talked_is_not_known() -> None:
    assert outcome(TALKING, cut_short=True).talk_seconds is None


def test_a_phone_that_rang_when_the_rows_stop_is_unfinished() -> None:
    legs = classified(RINGING, cut_short=True).legs
    assert [(leg.number, leg.outcome, leg.ended_at) for leg in legs] == [
        ("79161234567", "calling", None),
        ("1001", "unfinished", None),
    ]


def test_rows_that_come_later_finish_the_call() -> None:
    call = outcome(f"""{TALKING}
        9  exit    PJSIP/1001-02    1 peer=PJSIP/carrier-01
        9  exit    PJSIP/carrier-01 0
        9  hangup  PJSIP/1001-02    1 cause=16
        9  end     PJSIP/1001-02    1
        9  hangup  PJSIP/carrier-01 0 cause=16/ANSWER
        9  end     PJSIP/carrier-01 0
    """)
    assert (call.complete, call.talk_seconds, call.result) == (True, 7.0, 200)  # no LINKEDID_END: all channels ended


def test_a_row_is_taken_once() -> None:
    [row] = cel("0 over PJSIP/carrier-01 0")
    call = Call("pbx1", row.linkedid)
    assert not call.knows(row.id)
    assert call.add(row)
    assert call.knows(row.id)
    assert not call.add(row)
    assert call.version == (1, 1)
