"""Who was connected with whom, from the rows of bridges."""

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from tests.calls.tables import RULES, classified, outcome

TRUNK, PHONE, OTHER = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1", "PJSIP/1002-03 2"
CALLING = f"""
    0 start {TRUNK} num=79161234567 context=from-trunk exten=1001
    1 start {PHONE} num=1001 context=from-internal
    1 start {OTHER} num=1002 context=from-internal
"""
OVER = f"""
    20 hangup {TRUNK} cause=19/ANSWER
    20 end    {TRUNK}
    20 over   {TRUNK}
"""


def call(*lines: str) -> str:
    return CALLING + "\n".join(lines) + OVER


def test_talk_ends_when_the_other_hangs_up_without_a_row_of_leaving() -> None:
    rows = call(f"3 enter {PHONE}", f"3 enter {TRUNK} peer=PJSIP/1001-02", f"9 hangup {PHONE} cause=16")
    assert outcome(rows).talk_seconds == 6.0


def test_talk_shorter_than_the_clock_tells_is_of_no_seconds() -> None:
    rows = call(f"3 enter {PHONE}", f"3 enter {TRUNK} peer=PJSIP/1001-02", f"3 exit {TRUNK} peer=PJSIP/1001-02")
    assert outcome(rows).talk_seconds == 0.0


def test_talk_that_only_the_leaving_shows_is_of_unknown_length() -> None:
    rows = call(f"3 enter {TRUNK}", f"9 exit {TRUNK} peer=PJSIP/1001-02")
    result = outcome(rows)
    assert (result.answered, result.talk_seconds) == (True, None)


def test_talk_in_a_conference_that_only_the_leaving_shows_comes_after_the_attempts_before() -> None:
    rows = call(f"3 enter {TRUNK}", f"9 exit {TRUNK} peer=PJSIP/1009-09")
    assert outcome(rows).result == 200
    later = call(f"3 enter {TRUNK}", f"9 exit {TRUNK} peer=PJSIP/1009-09", "12 start PJSIP/1003-04 3 num=1003")
    assert outcome(later).result == 480


def test_conference_after_a_blind_transfer_is_a_talk_though_only_the_leaving_shows_it() -> None:
    rows = call(
        f"3 enter {PHONE}",
        f"3 enter {TRUNK} peer=PJSIP/1001-02",
        f'5 blindtransfer {PHONE} extra={{"transferee_channel_uniqueid":"1795389780.0"}}',
        f"5 exit {PHONE} peer=PJSIP/trunk1-01",
        f"5 exit {TRUNK}",
        f"6 enter {TRUNK}",
        f"9 exit {TRUNK} peer=PJSIP/1009-09",
    )
    assert outcome(rows).result == 200


def test_asterisks_own_channels_connect_nobody() -> None:
    helper = "Announcer/ARI-07;1"
    rows = call(f"3 enter {TRUNK} peer={helper},", f"4 enter {PHONE} peer={helper}", f"9 exit {TRUNK} peer={helper}")
    result = outcome(rows)
    assert (result.answered, result.talked_with, result.warnings) == (False, (), ())


def test_who_leaves_two_others_alone_lets_them_talk_on() -> None:
    rows = call(
        f"3 enter {PHONE}",
        f"3 enter {TRUNK} peer=PJSIP/1001-02",
        f"4 enter {OTHER} peer=PJSIP/1001-02,PJSIP/trunk1-01",
        f"9 exit {PHONE} peer=PJSIP/1002-03,PJSIP/trunk1-01",
        f"15 exit {OTHER} peer=PJSIP/trunk1-01",
    )
    assert [leg.talk_seconds for leg in classified(rows).legs] == [12.0, 6.0, 11.0]


def test_leg_that_sent_its_call_elsewhere_is_forwarded_and_no_other() -> None:
    rows = call(
        f"2 forward {PHONE}",
        "2 hangup Local/1002@x-05;1 5 cause=0",
        f"3 hangup {PHONE} cause=16",
        f"4 hangup {OTHER} cause=17",
    )
    assert [leg.outcome for leg in classified(rows).legs] == ["calling", "forwarded", "busy"]


def test_leg_that_answered_is_not_the_one_that_was_forwarded() -> None:
    rows = call(f"2 forward {OTHER}", f"3 answer {PHONE}", f"4 hangup {PHONE} cause=16", f"4 hangup {OTHER} cause=16")
    assert [leg.outcome for leg in classified(rows).legs][1:] == ["answered", "forwarded"]


def test_call_without_rows_has_no_outcome_to_tell() -> None:
    result = classify(Call("pbx1", "1.1"), RULES, PbxProfile()).result
    assert (result.answered, result.result, result.direction, result.complete) == (False, 0, "unknown", False)
