"""Tables whose bridge rows name no peer: who was in a bridge at the same time is taken as joined."""

import pytest

from tests.calls.tables import outcome

CALLING = """
    0 start PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001
    1 start PJSIP/1001-02   1 num=1001 context=from-internal
    1 start PJSIP/1002-03   2 num=1002 context=from-internal
"""
OVER = """
    20 hangup PJSIP/trunk1-01 0 cause=16/ANSWER
    20 end    PJSIP/trunk1-01 0
    20 over   PJSIP/trunk1-01 0
"""


def talked(*lines: str) -> tuple[bool, tuple[str, ...]]:
    call = outcome(CALLING + "\n".join(lines) + OVER)
    return call.answered, call.talked_with


def talk_seconds(*lines: str) -> float | None:
    return outcome(CALLING + "\n".join(lines) + OVER).talk_seconds


def test_two_in_a_bridge_at_the_same_time_talk() -> None:
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    assert talked(f"3 enter {phone}", f"4 enter {calling}", f"9 exit {calling}", f"9 exit {phone}") == (True, ("1001",))


def test_who_left_before_the_other_came_was_not_there() -> None:
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    assert talked(f"3 enter {phone}", f"4 exit {phone}", f"5 enter {calling}", f"6 exit {calling}") == (False, ())
    assert talked(f"3 enter {calling}", f"4 exit {calling}", f"5 enter {phone}", f"6 exit {phone}") == (False, ())


def test_who_is_first_seen_leaving_was_there_from_the_beginning() -> None:
    calling, stranger = "PJSIP/trunk1-01 0", "PJSIP/1007-09 9"
    assert talked(f"4 enter {calling}", f"9 exit {stranger}", f"9 exit {calling}") == (True, ("1007",))
    assert talk_seconds(f"4 enter {calling}", f"9 exit {stranger}", f"9 exit {calling}") == 5.0


def test_what_other_rows_come_first_makes_no_difference_to_who_was_there() -> None:
    calling, stranger = "PJSIP/trunk1-01 0", "PJSIP/1007-09 9"
    rows = f"2 answer {stranger}", f"4 enter {calling}", f"9 exit {stranger}", f"9 exit {calling}"
    assert talked(*rows) == (True, ("1007",))
    assert talk_seconds(*rows) == 5.0


def test_half_of_a_local_channel_is_not_there_from_the_beginning() -> None:
    assert talked("4 enter PJSIP/trunk1-01 0", "9 exit Local/1@x-09;1 9", "9 exit PJSIP/trunk1-01 0") == (False, ())


def test_bridges_are_told_apart_by_their_ids() -> None:
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    apart = [f'3 enter {phone} extra={{"bridge_id":"a"}}', f'4 enter {calling} extra={{"bridge_id":"b"}}']
    assert talked(*apart) == (False, ())
    assert talked(*(line.replace('"b"', '"a"') for line in apart)) == (True, ("1001",))


def test_an_id_that_is_not_a_text_tells_no_bridges_apart() -> None:
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    rows = [f'3 enter {phone} extra={{"bridge_id":1}}', f'4 enter {calling} extra={{"bridge_id":2}}']
    assert talked(*rows) == (True, ("1001",))


def test_leaving_twice_is_leaving() -> None:
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    assert talked(
        f"3 enter {phone}",
        f"4 enter {calling}",
        f"9 exit {phone}",
        f"9 exit {phone}",
        f"9 exit {calling}",
        f"9 exit {calling}",
    ) == (True, ("1001",))


def test_before_asterisk_12_the_calling_channel_is_joined_with_who_has_answered() -> None:
    """Only its BRIDGE_START was logged (main/features.c, ast_bridge_call); 1002 still rings."""
    start, end = "4 bridge_start PJSIP/trunk1-01 0", "9 bridge_end PJSIP/trunk1-01 0"
    assert talked("3 answer PJSIP/1001-02 1", start, end) == (True, ("1001",))
    assert talked(start, end) == (False, ())


def test_before_asterisk_12_who_answered_and_left_is_not_joined() -> None:
    start, end = "4 bridge_start PJSIP/trunk1-01 0", "9 bridge_end PJSIP/trunk1-01 0"
    gone = ("2 answer PJSIP/1002-03 2", "3 hangup PJSIP/1002-03 2 cause=16", "3 end PJSIP/1002-03 2")
    assert talked(*gone, start, end) == (False, ())


def test_before_asterisk_12_who_picked_up_is_seen_when_the_bridge_ends() -> None:
    start, ends = "4 bridge_start PJSIP/trunk1-01 0", ("9 bridge_end PJSIP/1007-09 9", "9 bridge_end PJSIP/trunk1-01 0")
    assert talked(start, *ends) == (True, ("1007",))
    assert talk_seconds(start, *ends) == 5.0
    assert talked("3 answer PJSIP/1001-02 1", start, *ends)[1] == ("1001", "1007")


@pytest.mark.parametrize("broken", range(4))
def test_one_row_that_does_not_tell_its_bridge_parts_nobody(broken: int) -> None:
    names = ['{"bridge_id":"a"}'] * 4
    names[broken] = '{"bridge_id":"a""}'
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    lines = (f"3 enter {phone}", f"4 enter {calling}", f"9 exit {phone}", f"9 exit {calling}")
    assert talked(*(f"{line} extra={extra}" for line, extra in zip(lines, names, strict=True))) == (True, ("1001",))


@pytest.mark.parametrize("broken", range(4))
def test_a_row_that_does_not_tell_its_bridge_is_of_its_channels_own(broken: int) -> None:
    """Of two bridges at the same time, one of 1002 and a stranger."""
    names = ['{"bridge_id":"a"}'] * 4
    names[broken] = ""
    calling, phone = "PJSIP/trunk1-01 0", "PJSIP/1001-02 1"
    lines = (f"3 enter {phone}", f"4 enter {calling}", f"9 exit {phone}", f"9 exit {calling}")
    others = [f'{line} extra={{"bridge_id":"b"}}' for line in ("3 enter PJSIP/1002-03 2", "9 exit PJSIP/1002-03 2")]
    told = [f"{line} extra={extra}" for line, extra in zip(lines, names, strict=True)]
    assert talked(others[0], *told, others[1]) == (True, ("1001",))
