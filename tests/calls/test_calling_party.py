"""The caller's number and the number asked for, as the calling channel's rows before anybody was reached tell them."""

import pytest

from streams.calls.calling_party import asked_for_it, is_dialable, is_digits, same_number
from streams.calls.pbx_profile import PbxProfile
from tests.calls.tables import outcome
from tests.calls.test_callers_and_dids import incoming
from tests.calls.test_direction import channel

TRUNK = PbxProfile(trunks=("mts",))


@pytest.mark.parametrize(
    ("number", "digits", "dialable"),
    [
        ("", False, False),
        ("+", False, True),
        ("79161234567", True, True),
        ("+79161234567", True, True),
        ("7+9161234567", False, True),
        ("*55#", False, True),
        ("X1", False, False),
        ("sales", False, False),
        ("\u0661\u0662", False, False),
    ],
)
def test_what_is_a_number_and_what_a_phone_can_dial(number: str, digits: bool, dialable: bool) -> None:
    assert (is_digits(number), is_dialable(number)) == (digits, dialable)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("89161234567", "79161234567", True),
        ("+79161234567", "89161234567", True),
        ("9112", "112", True),
        ("912", "12", False),  # two digits are the end of too many numbers
        ("89161234567", "1234567", True),
        ("89161234567", "2234567", False),
        ("+112", "112", True),
        ("+112", "9112", True),
        ("*9161234567", "9161234567", False),
        ("", "", False),
    ],
)
def test_two_spellings_of_a_number_differ_in_what_comes_before(one: str, other: str, same: bool) -> None:
    assert same_number(one, other) is same_number(other, one) is same


@pytest.mark.parametrize(
    ("dialled", "number", "asked"),
    [
        ("89161234567", "79161234567", True),
        ("4950022334", "22334", True),
        ("4950022334", "2334", False),  # as short as an extension
        ("22334", "22334", False),  # not as long as outside numbers are
        ("89161234567", "79165550000", False),
    ],
)
def test_whether_a_channel_asked_for_the_number_that_went_out(dialled: str, number: str, asked: bool) -> None:
    calling = channel("PJSIP/1001-01")
    calling.dialled = dialled
    assert asked_for_it(calling, number, PbxProfile()) is asked


@pytest.mark.parametrize("later", ["SALES", "223344", "101"])
def test_a_useless_number_gives_way_to_no_other_useless_one(later: str) -> None:
    call = outcome(incoming("PJSIP/mts-01", "100500", "s@from-trunk s@from-trunk", later=later))
    assert (call.caller, call.client) == ("100500", "100500")


def test_a_number_that_is_set_after_the_first_dial_is_not_the_callers() -> None:
    rows = incoming("PJSIP/mts-01", "100500", "s@from-trunk s@from-trunk")
    later = "3 answer PJSIP/mts-01 0 num=79165550000 exten=s context=from-trunk"
    at_dial = rows.replace("num=100500 exten=101", "num=79165550000 exten=101")
    assert outcome(at_dial).caller == "79165550000"  # the row of Dial() itself has what the dialplan set
    assert outcome(rows.replace("9  hangup     PJSIP/101", f"{later}\n9  hangup     PJSIP/101")).caller == "100500"
    no_dial = [line for line in rows.splitlines() if "app=Dial" not in line]
    assert outcome("\n".join([*no_dial[:3], later, *no_dial[3:]])).caller == "100500"


@pytest.mark.parametrize("name", ["79161234567", "+79161234567"])
def test_a_trunk_that_is_named_after_the_number_of_its_caller(name: str) -> None:
    call = outcome(incoming(f"PJSIP/{name}-01", name, "74951234567@from-trunk"))
    assert (call.caller, call.client) == (name, "+79161234567")


@pytest.mark.parametrize(
    ("rows", "did"),
    [
        # What is asked for after the call was led inside is not the company's number, in whatever context.
        ("s@from-trunk 101@from-internal 74959999999@from-trunk", None),
        ("74951234567@from-trunk 101@from-internal 74959999999@from-trunk", "74951234567"),
        ("74951234567@from-internal", "74951234567"),  # where the trunk's calls come in, whatever its name says
        ("74951234567@from-internal 74959999999@from-internal", "74951234567"),
    ],
)
def test_the_did_of_a_call_that_is_led_inside(rows: str, did: str | None) -> None:
    assert outcome(incoming("PJSIP/mts-01", "79161234567", rows), profile=TRUNK).did == did


def test_neither_an_ending_row_nor_another_channels_names_the_did() -> None:
    call = outcome("""
        0 start  PJSIP/mts-01  0 num=79161234567 exten=s context=from-trunk
        1 start  PJSIP/1001-02 1 num=1001 exten=74951110000 context=from-trunk
        9 hangup PJSIP/1001-02 1 cause=16
        9 hangup PJSIP/mts-01  0 num=79161234567 exten=74952220000 context=from-trunk cause=16
        9 over   PJSIP/mts-01  0
    """)
    assert (call.direction, call.did) == ("incoming", None)


DIALS = """
    0  start     PJSIP/mts-01 0 num=79161234567 exten={exten} context=from-trunk {dnid}
    1  app_start PJSIP/mts-01 0 num=79161234567 exten={at_dial} context=from-did app={app} appdata=PJSIP/101
    2  answer    PJSIP/mts-01 0 num=79161234567 exten={after} context=from-did
    9  hangup    PJSIP/mts-01 0 exten=74950009999 context=from-did cause=16
    9  end       PJSIP/mts-01 0 exten=74950009999 context=from-did
"""


@pytest.mark.parametrize("app", ["Dial", "Queue"])
@pytest.mark.parametrize(
    ("exten", "at_dial", "after", "did"),
    [
        ("s", "74951234567", "s", "74951234567"),
        ("74951110000", "74951234567", "74952220000", "74951234567"),
        ("74951110000", "s", "74952220000", "74951110000"),
        ("s", "s", "74952220000", None),
    ],
)
def test_the_did_is_known_when_the_dialplan_dials(
    exten: str, at_dial: str, after: str, did: str | None, app: str
) -> None:
    assert outcome(DIALS.format(exten=exten, at_dial=at_dial, after=after, app=app, dnid="")).did == did


@pytest.mark.parametrize(
    ("exten", "dnid", "did"),
    [
        ("s", "74951234567", "74951234567"),
        ("74950000000", "74951234567", "74950000000"),
        ("s", "101", None),
        ("s", "sales", None),
        ("s", "mts", None),
    ],
)
def test_the_number_dialled_stands_in_for_extensions_that_name_none(exten: str, dnid: str, did: str | None) -> None:
    table = DIALS.format(exten=exten, at_dial="s", after="s", app="Dial", dnid=f"cid_dnid={dnid}")
    assert outcome(table).did == did
