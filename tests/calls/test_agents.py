"""Agents who logged in: their channel is in an older call, and half of the Local channel to them goes on there."""

import pytest

from streams.calls.result import CallResult
from tests.calls.tables import cel, outcome

CALLER, NEAR, FAR = "PJSIP/carrier-11", "Local/{agent}@agents-11;1", "Local/{agent}@agents-11;2"
WAITS = f"""
    0  start     {{caller}} 0 num=79160000211 exten=74950000000 context=from-trunk
    0  answer    {{caller}} 0
    0  app_start {{caller}} 0 num=79160000211 exten=400 context=ext-queues app={{app}} appdata=400,t
    1  start     {NEAR} 2 num=101 context=agents
    1  start     {FAR}  3 num=79160000211 exten=101 context=agents
    1  app_start {FAR}  3 num=79160000211 exten=101 context=agents app=AgentRequest
"""
ENTERS_HERE = f"""
    3  answer    {FAR}  3
    3  enter     {FAR}  3
"""
TALKS = f"""
    3  answer    {NEAR} 2
    3  enter     {NEAR} 2
    3  enter     {{caller}} 0 peer={NEAR}
    33 exit      {{caller}} 0 peer={NEAR}
    33 exit      {NEAR} 2
    33 hangup    {NEAR} 2 cause=16
    33 end       {NEAR} 2
"""
ENDS = """
    33 hangup    {caller} 0 cause=16 source={caller}
    33 end       {caller} 0
    33 over      {caller} 0
"""


def told(*parts: str, caller: str = CALLER, agent: str = "101", app: str = "Queue") -> CallResult:
    return outcome(cel("".join(parts).format(caller=caller, agent=agent, app=app)))


@pytest.mark.parametrize("caller", [CALLER, "SIP/carrier-0000001a", "DAHDI/i1/79160000211-1a"])
@pytest.mark.parametrize("far", [ENTERS_HERE, ""], ids=["its bridge is here", "its bridge is there"])
@pytest.mark.parametrize("app", ["Queue", "Dial"])
def test_the_caller_talked_with_whomever_the_far_half_met(caller: str, far: str, app: str) -> None:
    call = told(WAITS, far, TALKS, ENDS, caller=caller, app=app)
    assert (call.direction, call.answered, call.result) == ("incoming", True, 200)
    assert (call.talk_seconds, call.answered_by, call.handled_by, call.extension) == (30.0, "101", None, None)


def test_who_it_was_is_unknown_where_the_dial_string_does_not_tell() -> None:
    call = told(WAITS, ENTERS_HERE, TALKS, ENDS, agent="sales")
    assert (call.answered, call.answered_by, call.talk_seconds) == (True, None, 30.0)


def test_a_caller_who_goes_on_there_too_talked_for_an_unknown_time() -> None:
    call = told(WAITS, TALKS.replace("    33 ", "    3 "), "    3 over {caller} 0\n")
    assert (call.answered, call.talk_seconds) == (True, None)


def test_an_agent_who_is_not_reached_is_nobody() -> None:
    vain = f"""
    20 hangup    {NEAR} 2 cause=16
    20 end       {NEAR} 2
    20 hangup    {FAR}  3 cause=16
    20 end       {FAR}  3
    """
    call = told(WAITS, vain, ENDS)
    assert (call.answered, call.handled_by) == (False, "queue")


def test_a_local_channel_of_which_both_halves_ended_here_led_to_a_machine() -> None:
    ended = f"""
    33 hangup    {FAR}  3 cause=16
    33 end       {FAR}  3
    """
    call = told(WAITS, ENTERS_HERE, TALKS, ended, ENDS)
    assert (call.answered, call.talk_seconds) == (False, 0.0)


def test_rows_that_stop_show_nothing_of_what_a_half_met() -> None:
    assert not told(WAITS, ENTERS_HERE, TALKS.partition("    33 ")[0]).answered


MEMBER = "Local/1002@from-queue-21;1"
TRANSFER = '"app":"Queue","channel2_name":"PJSIP/1001-03","transferee_channel_uniqueid":"@0"'
INTO_QUEUE = f"""
    0  start  {CALLER}      0 num=79160000211 exten=74950000000 context=from-trunk
    0  start  PJSIP/1001-02 1 num=1001 context=from-internal
    3  answer PJSIP/1001-02 1
    3  enter  PJSIP/1001-02 1
    3  enter  {CALLER}      0 peer=PJSIP/1001-02
    13 attendedtransfer PJSIP/1001-02 1 extra={{{TRANSFER},"transfer_target_channel_uniqueid":"N/A"}}
    13 exit   PJSIP/1001-02 1 peer={CALLER}
    13 end    PJSIP/1001-02 1
    13 exit   {CALLER}      0
"""
MEMBER_TALKS = f"""
    20 enter  {CALLER}      0
    20 enter  {MEMBER}      9 num=1002 context=from-queue peer={CALLER}
    50 exit   {CALLER}      0 peer={MEMBER}
    50 exit   {MEMBER}      9
    50 end    {MEMBER}      9
    50 hangup {CALLER}      0 cause=16/ANSWER source={CALLER}
    50 end    {CALLER}      0
    50 over   {CALLER}      0
"""


def test_a_queue_that_answers_after_the_transfer_into_it_is_a_talk() -> None:
    call = outcome(INTO_QUEUE + MEMBER_TALKS)
    assert (call.answered, call.talk_seconds, call.result) == (True, 40.0, 200)
    assert (call.talked_with, call.answered_by) == (("1001", "1002"), "1002")
    assert call.transfers == ("1001 transferred to Queue before anybody answered",)


def test_the_agents_login_calls_nobody_though_callers_channels_come_into_it() -> None:
    """Where the Local channel is optimized away, the caller's own channel takes the older linkedid."""
    call = outcome("""
        0   start     PJSIP/1001-01    0 num=1001 exten=*50 context=from-internal
        0   answer    PJSIP/1001-01    0
        0   app_start PJSIP/1001-01    0 num=1001 exten=*50 context=from-internal app=AgentLogin appdata=101
        99  enter     PJSIP/1001-01    0 num=1001 app=AgentLogin
        99  enter     PJSIP/carrier-11 5 num=79160000211 exten=400 context=ext-queues app=Queue peer=PJSIP/1001-01
        139 exit      PJSIP/carrier-11 5 num=79160000211 exten=400 context=ext-queues app=Queue peer=PJSIP/1001-01
        139 hangup    PJSIP/carrier-11 5 cause=16
        139 end       PJSIP/carrier-11 5
        139 exit      PJSIP/1001-01    0
        300 hangup    PJSIP/1001-01    0 cause=16
        300 end       PJSIP/1001-01    0
        300 over      PJSIP/1001-01    0
    """)
    assert (call.direction, call.client, call.talk_seconds) == ("internal", None, 40.0)
    assert call.linked_calls == ("1795389780.5",)
