"""Who talked, who answered, and which extension a call was for."""

import pytest

from streams.calls.pbx_profile import PbxProfile
from tests.calls.tables import cel, outcome

TRUNK = "PJSIP/mts-01"
COMES_IN = f"0 start {TRUNK} 0 num=79161234567 exten=74951234567 context=from-trunk\n"
ENDS = f"90 hangup {TRUNK} 0 cause=16/ANSWER\n90 end {TRUNK} 0\n90 over {TRUNK} 0\n"


def phone(number: str, counter: int, talks: str = "", *, rings: int = 1, name: str = "") -> str:
    """An extension that rings from a second on; `talks`: `from-to` with the trunk, several with blanks between."""
    name = name or f"PJSIP/{number}-0{counter}"
    lines = [f"{rings} start {name} {counter} num={number} context=from-internal"]
    for begin, _, end in (each.partition("-") for each in talks.split()):
        lines += [
            f"{begin} answer {name} {counter}",
            f"{begin} enter {name} {counter} peer={TRUNK}",
            f"{end} exit {name} {counter} peer={TRUNK}",
        ]
    return "\n".join(lines) + "\n"


def in_order(*parts: str) -> str:
    """The lines of several channels by their seconds."""
    return "\n".join(sorted("".join(parts).splitlines(), key=lambda line: float(line.split()[0])))


def test_who_talked_is_told_in_the_order_of_the_first_talks() -> None:
    rows = in_order(COMES_IN, phone("1002", 2, "20-30 60-70"), phone("1001", 1, "5-10 40-50"), phone("1003", 3), ENDS)
    call = outcome(rows)
    assert call.talked_with == ("1001", "1002")
    assert (call.answered_by, call.extension) == ("1002", "1002")  # whose talk began last


def test_who_began_to_talk_first_is_first_however_long_and_whatever_the_name() -> None:
    both = in_order(COMES_IN, phone("1002", 2, "5-50"), phone("1001", 1, "6-10"), ENDS)
    assert (outcome(both).talked_with, outcome(both).answered_by) == (("1002", "1001"), "1001")
    assert outcome(both).extension == "1001"
    together = in_order(COMES_IN, phone("1002", 2, "5-50"), ENDS, phone("1001", 1, "5-10", rings=3))
    assert outcome(together).talked_with == ("1002", "1001")  # in the order of their first rows
    unlogged = COMES_IN + f"5 enter {TRUNK} 0 peer=PJSIP/1009-09\n"
    call = outcome(unlogged + phone("1001", 1, "6-7") + f"9 exit {TRUNK} 0 peer=PJSIP/1009-09\n" + ENDS)
    assert (call.talked_with, call.answered_by) == (("1009", "1001"), "1001")


def test_of_two_devices_of_one_endpoint_one_is_told() -> None:
    rows = in_order(COMES_IN, phone("1001", 1, "5-10"), phone("1001", 2, "20-30"), ENDS)
    assert outcome(rows).talked_with == ("1001",)


def test_who_talked_longest_ago_answered_where_nobody_else_did() -> None:
    rows = in_order(COMES_IN, phone("1001", 1, "5-10"), phone("1002", 2), ENDS)
    assert (outcome(rows).answered_by, outcome(rows).extension) == ("1001", "1001")


CONFERENCE = COMES_IN + f"5 enter {TRUNK} 0 peer={{first}}\n9 exit {TRUNK} 0 peer={{first}}\n"
AND_ANOTHER = f"20 enter {TRUNK} 0 peer={{second}}\n29 exit {TRUNK} 0 peer={{second}}\n"


@pytest.mark.parametrize(
    ("last", "person"),
    [
        ("PJSIP/1002-08", "1002"),
        ("PJSIP/mobile-08", "mobile"),
        ("Local/1002@office-08;1", None),  # nobody is on half of a Local channel
    ],
)
def test_channels_of_other_calls_are_known_by_their_names_alone(last: str, person: str | None) -> None:
    one = outcome(CONFERENCE.format(first=last) + ENDS)
    assert one.answered_by == person
    assert one.talked_with == ((person,) if person else ())
    if person:
        two = outcome((CONFERENCE + AND_ANOTHER).format(first="PJSIP/1001-07", second=last) + ENDS)
        assert (two.talked_with, two.answered_by) == (("1001", person), person)
        assert two.extension is None


HELD = """
    0  start     PJSIP/mts-01 0 num=79161234567 exten=74951234567 context=from-trunk
    1  start     Local/{to}@agents-01;1 1 context=agents
    1  start     Local/{to}@agents-01;2 2 context=agents
    3  answer    Local/{to}@agents-01;1 1
    3  enter     Local/{to}@agents-01;1 1
    3  enter     PJSIP/mts-01 0 peer=Local/{to}@agents-01;1
    33 exit      PJSIP/mts-01 0 peer=Local/{to}@agents-01;1
    33 end       Local/{to}@agents-01;1 1
    33 hangup    PJSIP/mts-01 0 cause=16
    33 end       PJSIP/mts-01 0
    33 over      PJSIP/mts-01 0
"""


@pytest.mark.parametrize(("to", "person"), [("1001", "1001"), ("79161110000", None), ("sales", None)])
def test_behind_half_of_a_local_channel_is_the_extension_that_it_was_dialled_for(to: str, person: str | None) -> None:
    assert outcome(HELD.format(to=to)).answered_by == person


def test_whoever_only_peers_name_answered_where_their_talk_began_last() -> None:
    later = f"20 enter {TRUNK} 0 peer={{peer}}\n29 exit {TRUNK} 0 peer={{peer}}\n"
    for peer, answered in (("PJSIP/1009-09", "1009"), ("PJSIP/mobile-09", "mobile")):
        call = outcome(COMES_IN + phone("1001", 1, "5-10") + later.format(peer=peer) + ENDS)
        assert (call.talked_with, call.answered_by) == (("1001", answered), answered)
        joins = f"20 enter {TRUNK} 0 peer=PJSIP/1001-01,{peer}\n60 exit {TRUNK} 0 peer={peer}\n"
        stays = in_order(COMES_IN, phone("1001", 1, "5-50"), joins, ENDS)
        assert outcome(stays).answered_by == answered
    # At the same time: the one of whom there are rows.
    together = COMES_IN + phone("1001", 1, "5-10").replace(f"peer={TRUNK}", f"peer={TRUNK},PJSIP/1009-09") + ENDS
    assert outcome(together).answered_by == "1001"


def test_of_two_who_begin_to_talk_in_one_moment_the_inside_one_answers_an_incoming_call() -> None:
    call = outcome(f"""
        {COMES_IN}
        1 start PJSIP/gsm-08  8 num=79165550000 context=from-trunk
        1 start PJSIP/1001-09 9 num=1001 context=from-internal
        1 start PJSIP/gsm-10  10 num=79166660000 context=from-trunk
        5 enter PJSIP/gsm-08  8 app=ConfBridge
        5 enter PJSIP/1001-09 9 app=ConfBridge peer=PJSIP/gsm-08
        5 enter PJSIP/gsm-10  10 app=ConfBridge peer=PJSIP/gsm-08,PJSIP/1001-09
        7 enter {TRUNK} 0 app=ConfBridge peer=PJSIP/gsm-08,PJSIP/1001-09,PJSIP/gsm-10
        {ENDS}
    """)
    assert (call.direction, call.answered_by) == ("incoming", "1001")


CLICK_TO_CALL = """
    0 start  Local/600@cti-01;1 0 exten=600 context=cti
    0 start  Local/600@cti-01;2 1 exten=600 context=cti
    0 start  PJSIP/1001-02 2 num=1001 context=from-internal
    0 start  PJSIP/1002-03 3 num=1002 context=from-internal
    3 answer PJSIP/1002-03 3
    3 answer Local/600@cti-01;1 0
    3 enter  PJSIP/1002-03 3
    3 enter  Local/600@cti-01;2 1 peer=PJSIP/1002-03
    3 start  PJSIP/mts-04 4 num=79161234567 context=from-trunk
    8 answer PJSIP/mts-04 4
    8 enter  PJSIP/mts-04 4
    8 enter  Local/600@cti-01;1 0 peer=PJSIP/mts-04
    9 over   PJSIP/1001-02 2
"""


def test_click_to_call_for_a_group_is_answered_by_the_client_and_not_by_who_picked_up() -> None:
    call = outcome(CLICK_TO_CALL)
    assert (call.direction, call.client, call.answered_by) == ("outgoing", "+79161234567", "79161234567")
    assert call.talked_with == ("1002", "mts")


def test_who_calls_from_one_device_may_answer_on_another() -> None:
    call = outcome("""
        0  start  PJSIP/1001-01 0 num=1001 exten=1002 context=from-internal
        1  start  PJSIP/1002-02 1 num=1002 context=from-internal
        3  enter  PJSIP/1002-02 1 peer=PJSIP/1001-01
        9  exit   PJSIP/1002-02 1 peer=PJSIP/1001-01
        9  start  PJSIP/1001-03 2 num=1001 context=from-internal
        12 enter  PJSIP/1001-03 2 peer=PJSIP/1001-01
        20 over   PJSIP/1001-01 0
    """)
    assert (call.direction, call.answered_by) == ("internal", "1001")


def test_a_trunk_that_asterisk_called_talked_with_whoever_it_was_connected_to() -> None:
    call = outcome("""
        0  start  PJSIP/mts-01 0 num=79161234567 context=from-trunk app=AppDial2
        5  answer PJSIP/mts-01 0 app=AppDial2
        6  start  PJSIP/1001-02 1 num=1001 context=from-internal
        9  enter  PJSIP/1001-02 1 peer=PJSIP/mts-01
        20 over   PJSIP/mts-01 0
    """)
    assert call.talked_with == ("mts", "1001")


def test_without_the_callers_rows_the_only_channel_that_is_there_answered() -> None:
    rows = in_order(COMES_IN, phone("1001", 1, "5-10"), ENDS)
    call = outcome([row for row in cel(rows) if row.channame != TRUNK])
    assert (call.direction, call.answered_by) == ("unknown", "1001")


CALLS_OUT = """
    0  start  PJSIP/1001-01 0 num=1001 exten={exten} context=from-internal
    1  start  PJSIP/mts-02  1 num={number} context=from-trunk
    5  answer PJSIP/mts-02  1
    5  enter  PJSIP/mts-02  1
    5  enter  PJSIP/1001-01 0 peer=PJSIP/mts-02
    {transfer}
    90 hangup PJSIP/1001-01 0 cause=16/ANSWER
    90 over   PJSIP/1001-01 0
"""


@pytest.mark.parametrize(
    ("exten", "number", "answered"),
    [
        ("989161234567", "79161234567", "79161234567"),  # the client's number as the trunk was given it
        ("89161234567", "anonymous", "89161234567"),
        ("*6001", "anonymous", "anonymous"),
        ("*6001", "", "*6001"),
        ("s", "", "mts"),
    ],
)
def test_the_client_answers_a_call_that_goes_out(exten: str, number: str, answered: str) -> None:
    call = outcome(CALLS_OUT.format(exten=exten, number=number, transfer=""))
    assert (call.direction, call.answered_by, call.extension) == ("outgoing", answered, "1001")


def test_after_a_transfer_of_a_call_that_went_out_whoever_talked_last_answered() -> None:
    transfer = """
    8  blindtransfer PJSIP/1001-01 0
    9  start  PJSIP/gsm-03 2 num=79165550000 context=from-trunk
    9  answer PJSIP/gsm-03 2
    9  enter  PJSIP/gsm-03 2 peer=PJSIP/mts-02"""
    assert outcome(CALLS_OUT.format(exten="89161234567", number="79161234567", transfer=transfer)).answered_by == (
        "79165550000"
    )


def test_whoever_answers_a_forwarded_call_outside_is_told_by_the_number_called() -> None:
    out = "1 start PJSIP/gsm-03 2 num={number} context=from-trunk\n5 answer PJSIP/gsm-03 2\n5 enter PJSIP/gsm-03 2\n"
    enters = f"5 enter {TRUNK} 0 peer=PJSIP/gsm-03\n"
    for number, answered in (("79165550000", "79165550000"), ("", "gsm")):
        call = outcome(COMES_IN + out.format(number=number) + enters + ENDS)
        assert (call.direction, call.answered_by, call.extension) == ("incoming", answered, None)


def test_the_number_that_asterisk_called_answered_where_nobody_else_talked() -> None:
    began = """
    0 start PJSIP/mts-01 0 num={number} context=from-trunk app=AppDial2
    5 answer PJSIP/mts-01 0 app=AppDial2
    9 hangup PJSIP/mts-01 0 cause=16
    9 end PJSIP/mts-01 0
    """
    call = outcome(began.format(number="74950000000"))
    assert (call.answered, call.answered_by, call.talked_with) == (True, "mts", ("mts",))
    through_local = outcome("""
    0 start  Local/79161234567@cb-01;1 0
    0 start  Local/79161234567@cb-01;2 1
    1 start  PJSIP/mts-02 2 num=79161234567 context=from-trunk
    5 answer PJSIP/mts-02 2
    5 answer Local/79161234567@cb-01;1 0 app=AppDial2
    5 enter  PJSIP/mts-02 2
    5 enter  Local/79161234567@cb-01;2 1 peer=PJSIP/mts-02
    9 hangup PJSIP/mts-02 2 cause=16
    9 over   PJSIP/mts-02 2
    """)
    assert (through_local.answered, through_local.answered_by) == (True, "79161234567")
    assert through_local.talked_with == ("mts",)


NO_BRIDGES = PbxProfile(bridges_logged=False)


def test_without_bridge_rows_whoever_answered_talked() -> None:
    rows = COMES_IN + "1 start PJSIP/1001-02 1 num=1001 context=from-internal\n{answer}" + ENDS
    call = outcome(rows.format(answer="5 answer PJSIP/1001-02 1\n"), profile=NO_BRIDGES)
    assert (call.answered, call.answered_by, call.talked_with) == (True, "1001", ("1001",))
    # Only the dial status says so: the number that was called answered.
    call = outcome(rows.format(answer=""), profile=NO_BRIDGES)
    assert (call.answered, call.answered_by, call.talked_with) == (True, "74951234567", ())
    no_number = outcome(rows.format(answer="").replace("exten=74951234567", "exten=s"), profile=NO_BRIDGES)
    assert (no_number.answered, no_number.answered_by) == (True, None)


def test_the_extension_of_a_call_is_its_inside_party() -> None:
    assert outcome(COMES_IN + phone("1001", 1) + ENDS).extension == "1001"  # who rang last
    assert outcome(COMES_IN + ENDS).extension is None
    goes_out = CALLS_OUT.format(exten="89161234567", number="79161234567", transfer="")
    assert outcome(goes_out).extension == "1001"
    assert outcome(goes_out.replace("enter", "app_end")).extension == "1001"
    to_colleague = outcome(
        """
        0 start PJSIP/1001-01 0 num=1001 exten=1002 context=from-internal
        1 start PJSIP/1002-02 1 num=1002 context=from-internal
        9 hangup PJSIP/1002-02 1 cause=17
        9 hangup PJSIP/1001-01 0 cause=17/BUSY
        9 over PJSIP/1001-01 0
        """
    )
    assert (to_colleague.direction, to_colleague.extension, to_colleague.rang_last) == ("internal", "1001", "1002")
