"""Who called whom: every member of the two ends of a call, and the sentence that says why."""

import pytest

from streams.calls.call_facts import fold_call
from streams.calls.direction import Parties, extension_of, parties, trunk_of
from streams.calls.facts import Channel
from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import CelRow
from tests.calls.tables import cel, folded


def told(rows: str, profile: PbxProfile | None = None) -> Parties:
    profile = profile or PbxProfile()
    return parties(fold_call(folded(cel(rows)), profile), profile)


def channel(name: str, first: str = "", number: str = "") -> Channel:
    row = CelRow(1, "CHAN_START", "", "1795389780.0", channame=name)
    made = Channel("1795389780.0", name, row, 0, True)
    made.first_number, made.number = first, number
    return made


@pytest.mark.parametrize(
    ("name", "first", "number", "extension"),
    [
        ("PJSIP/1001-01", "2002", "3003", "1001"),  # the name of the device goes before its numbers
        ("PJSIP/kassa-01", "1001", "1002", "1001"),  # the first number before the last
        ("PJSIP/kassa-01", "", "1002", "1002"),
        ("PJSIP/kassa-01", "89161234567", "1002", "1002"),
        ("DAHDI/7-1", "1001", "1002", "1001"),  # a port's name is none
        ("DAHDI/7-1", "", "1002", "1002"),
        ("DAHDI/7-1", "", "", "7"),
        ("PJSIP/yeFK-01", "10006", "10007", "10006"),  # a long extension, of which no pattern tells
        ("PJSIP/yeFK-01", "alice", "10007", "10007"),
        ("PJSIP/yeFK-01", "79161234567", "", "yeFK"),
        ("PJSIP/yeFK-01", "\u0661\u0660\u0660\u0660\u0666", "", "yeFK"),
        ("PJSIP/yeFK-01", "", "", "yeFK"),
    ],
)
def test_the_extension_of_a_channel(name: str, first: str, number: str, extension: str) -> None:
    assert extension_of(channel(name, first, number), PbxProfile()) == extension


def test_a_trunk_is_called_by_its_line() -> None:
    names = ("PJSIP/carrier-01", "DAHDI/i1/79161234567-1b", "Khomp/B0/C1/9-0")
    assert [trunk_of(channel(name)) for name in names] == ["carrier", "i1", "B0"]


@pytest.mark.parametrize("rows", ["0 over PJSIP/mts-01 0", "0 start Announcer/ARI-1;1 0"])
def test_rows_of_nobody_tell_no_direction(rows: str) -> None:
    why = "direction unknown: no row names a channel that a party was on"
    assert told(rows) == Parties("unknown", why=[why])


UNKNOWN = "0 start SIP/kassa-01 0 num={num} exten={exten} context=shop\n"
MAY_BE = "number 10001 of kassa may be an extension (numbers.internal_digits) or not"


@pytest.mark.parametrize(
    ("num", "exten", "caller", "called", "reason"),
    [
        ("10001", "alice", "10001", "alice", MAY_BE),
        ("10001", "74951234567", "10001", "74951234567", MAY_BE),
        ("10001", "s", "10001", None, MAY_BE),
        ("", "*55", None, "*55", "neither kassa, nor context shop, nor a number tells its side"),
    ],
)
def test_a_caller_of_no_side(num: str, exten: str, caller: str | None, called: str | None, reason: str) -> None:
    why = f"direction unknown: {reason}; name the trunk in numbers.trunks"
    rows = UNKNOWN.format(num=num, exten=exten)
    assert told(rows) == Parties("unknown", caller, called, why=[why])
    rang = told(rows + "1 start SIP/office-02 1 num=10002 context=shop")
    assert rang == Parties("unknown", caller, called, why=[why])  # who rang is not known to be the one called


@pytest.mark.parametrize(
    ("num", "exten", "caller", "client", "number", "called", "did"),
    [
        ("89161234567", "74951234567", "89161234567", "89161234567", "+79161234567", "74951234567", "74951234567"),
        ("anonymous", "s", "anonymous", "anonymous", None, None, None),
        ("mts", "*55", "mts", None, None, "*55", None),  # the account of the trunk is nobody's number
        ("", "s", None, "", None, None, None),
        ("22334", "101", "22334", "22334", "22334", "101", None),
    ],
)
def test_an_incoming_call(
    num: str,
    exten: str,
    caller: str | None,
    client: str | None,
    number: str | None,
    called: str | None,
    did: str | None,
) -> None:
    why = ["incoming: the caller's mts came with context from-trunk"]
    rows = f"0 start PJSIP/mts-01 0 num={num} exten={exten} context=from-trunk"
    assert told(rows) == Parties("incoming", caller, called, client, number, "mts", did, why)


def test_a_name_that_the_dialplan_went_to_was_not_asked_for() -> None:
    came = "0 start PJSIP/mts-01 0 num=89161234567 exten={exten} context=from-trunk\n"
    later = "1 answer PJSIP/mts-01 0 num=89161234567 exten=goodbye context=app-announcement-1"
    assert told(came.format(exten="s") + later).called is None
    assert told(came.format(exten="sales") + later).called == "sales"


INSIDE = "0 start PJSIP/1001-01 0 num=1001 exten={exten} context=from-internal\n"
FORWARDED = "1 forward PJSIP/1001-01 0\n"
PHONE = "1 start PJSIP/1002-02 1 num=1002 context=from-internal\n"
TRUNK = "1 start PJSIP/mts-03 2 num={number} context=from-trunk\n"
SECOND = "2 start PJSIP/gsm-04 3 num={number} context=from-trunk\n"
CAME = "1 answer PJSIP/gsm-05 4 num=79165550000 context=from-trunk\n"
CLIENT, LOCAL = "79161234567", "2345678"


@pytest.mark.parametrize(
    ("exten", "rows", "direction", "called", "client", "number", "trunk", "because"),
    [
        # Nobody was reached: the number tells.
        ("89161234567", "", "outgoing", "89161234567", "89161234567", "+79161234567", None,
         "89161234567 is an outside number"),
        ("1002", "", "internal", "1002", None, None, None, "1002 is an inside number"),
        ("600100", "", "internal", "600100", None, None, None, "600100 is no outside number"),
        ("s", "", "internal", None, None, None, None, "what was dialled is no outside number"),
        # The first channel that was called tells.
        ("89161234567", TRUNK.format(number=CLIENT), "outgoing", "89161234567", CLIENT, "+79161234567", "mts",
         "the first channel called, mts, is a trunk"),
        ("s", TRUNK.format(number=CLIENT), "outgoing", CLIENT, CLIENT, "+79161234567", "mts",
         "the first channel called, mts, is a trunk"),
        ("600100", PHONE + TRUNK.format(number=CLIENT), "internal", "600100", None, None, "mts",
         "the first channel called, 1002, is inside"),
        ("89161234567", PHONE, "internal", "89161234567", None, None, None,
         "the first channel called, 1002, is inside"),
        ("89161234567", TRUNK.format(number=CLIENT) + SECOND.format(number=CLIENT), "outgoing", "89161234567", CLIENT,
         "+79161234567", "gsm", "the first channel called, mts, is a trunk"),
        # An extension stays one though a mobile rings for it, but not one that itself went out.
        ("1002", TRUNK.format(number=CLIENT), "internal", "1002", None, None, "mts", "1002 is an inside number"),
        ("1002", TRUNK.format(number=CLIENT) + SECOND.format(number="1002"), "outgoing", "1002", "1002", "1002", "gsm",
         "the first channel called, mts, is a trunk"),
        ("9112", TRUNK.format(number="112"), "outgoing", "9112", "112", "112", "mts",
         "the first channel called, mts, is a trunk"),
        # Where the call was forwarded, and where nobody was called from here, the number tells.
        ("600100", FORWARDED + TRUNK.format(number=CLIENT), "internal", "600100", None, None, "mts",
         "600100 is no outside number"),
        ("89161234567", FORWARDED + PHONE, "outgoing", "89161234567", "89161234567", "+79161234567", None,
         "89161234567 is an outside number"),
        ("600100", CAME, "internal", "600100", None, None, "gsm", "600100 is no outside number"),
        ("600100", CAME + PHONE, "internal", "600100", None, None, "gsm", "the first channel called, 1002, is inside"),
    ],
)  # fmt: skip
def test_a_call_from_an_extension(
    exten: str,
    rows: str,
    direction: str,
    called: str | None,
    client: str | None,
    number: str | None,
    trunk: str | None,
    because: str,
) -> None:
    found = told(INSIDE.format(exten=exten) + rows)
    why = [f"{direction}: the caller's 1001 is an extension; {because}"]
    assert (found.direction, found.caller, found.did, found.why) == (direction, "1001", None, why)
    assert (found.called, found.client, found.client_number, found.trunk) == (called, client, number, trunk)


BEGAN = "0 start PJSIP/1001-01 0 num=1001 context=from-internal app=AppDial2\n"
DIALS = "2 app_start PJSIP/1001-01 0 num=1001 exten={exten} context=from-internal app=Dial appdata=PJSIP/{number}@mts\n"
CALL_FILE = "0 start PJSIP/mts-01 0 num=74950000000 context=from-trunk app=AppDial2\n"
HALVES = "0 start Local/{to}@cb-01;1 0\n0 start Local/{to}@cb-01;2 1\n"
OUT = "1 start PJSIP/mts-02 2 num={number} context=from-trunk\n"
ALSO_OUT = "1 start PJSIP/gsm-03 3 num={number} context=from-trunk\n"
CALLED_OUT = "outgoing: Asterisk itself began the call and called out"
IN_NO_ROW = "the number that was called is in no row: a call file gives only its own caller id"


@pytest.mark.parametrize(
    ("rows", "right"),
    [
        (BEGAN, Parties("outgoing", "1001",
                        why=["outgoing: Asterisk called 1001 first, as click to call does, and got no further"])),
        (BEGAN + PHONE, Parties("internal", "1001", "1002",
                                why=["internal: Asterisk itself began the call, between extensions"])),
        # What the phone that was called first then dialled: the first outside number.
        (BEGAN + DIALS.format(exten="89161234567", number=CLIENT),
         Parties("outgoing", "1001", "89161234567", "89161234567", "+79161234567", None, None, [CALLED_OUT])),
        (BEGAN + DIALS.format(exten="1002", number="1") + DIALS.format(exten="89161234567", number=CLIENT),
         Parties("outgoing", "1001", "89161234567", "89161234567", "+79161234567", None, None, [CALLED_OUT])),
        (BEGAN + DIALS.format(exten="89161234567", number=CLIENT) + OUT.format(number=CLIENT),
         Parties("outgoing", "1001", "89161234567", CLIENT, "+79161234567", "mts", None, [CALLED_OUT])),
        # Else the first number that a trunk was given.
        (BEGAN + OUT.format(number="anonymous") + ALSO_OUT.format(number=CLIENT),
         Parties("outgoing", "1001", CLIENT, CLIENT, "+79161234567", "gsm", None, [CALLED_OUT])),
        # A call file to a trunk: its caller id is the company's own, and no row has the client's number.
        (CALL_FILE, Parties("outgoing", trunk="mts", why=[CALLED_OUT, IN_NO_ROW])),
        (CALL_FILE + PHONE, Parties("outgoing", "1002", trunk="mts", why=[CALLED_OUT, IN_NO_ROW])),
        # Originate through a Local channel that is named after whom it calls, before what the trunk shows.
        (HALVES.format(to=CLIENT), Parties("outgoing", None, CLIENT, CLIENT, "+79161234567", why=[CALLED_OUT])),
        (HALVES.format(to=CLIENT) + OUT.format(number="74950000000"),
         Parties("outgoing", None, CLIENT, CLIENT, "+79161234567", "mts", None, [CALLED_OUT])),
        (HALVES.format(to="9") + OUT.format(number=CLIENT) + ALSO_OUT.format(number="79165550000"),
         Parties("outgoing", None, CLIENT, CLIENT, "+79161234567", "gsm", None, [CALLED_OUT])),
        (HALVES.format(to="9"),
         Parties("unknown", why=["direction unknown: Asterisk itself began the call, and no party's side is known"])),
    ],
)  # fmt: skip
def test_a_call_that_asterisk_itself_began(rows: str, right: Parties) -> None:
    assert told(rows) == right


def test_a_trunk_that_asterisk_called_is_not_named_after_whom_it_called() -> None:
    rows = "0 start PJSIP/79161234567-01 0 num=74950000000 context=from-trunk app=AppDial2"
    assert told(rows) == Parties("outgoing", trunk="79161234567", why=[CALLED_OUT, IN_NO_ROW])


ONE_AFTER_THE_OTHER = (
    HALVES.format(to="9")
    + """
    1 start  PJSIP/mts-02 2 num=79161234567 context=from-trunk
    5 answer PJSIP/mts-02 2
    5 enter  PJSIP/mts-02 2
    {second} start  PJSIP/gsm-03 3 num={number} context=from-trunk
    7 answer PJSIP/gsm-03 3
    7 enter  PJSIP/gsm-03 3 peer={peer}
"""
)


def pair(second: str = "6", number: str = "79165550000", peer: str = "PJSIP/mts-02") -> Parties:
    return told(ONE_AFTER_THE_OTHER.format(second=second, number=number, peer=peer))


def test_of_two_outside_the_one_that_answered_first_called_the_other() -> None:
    why = ["outgoing: Asterisk called 79161234567 first, and then 79165550000, who talked with each other"]
    right = Parties("outgoing", CLIENT, "79165550000", "79165550000", "+79165550000", "gsm", None, why)
    assert pair() == pair(second="5") == right


@pytest.mark.parametrize(
    "change",
    [{"second": "4"}, {"number": CLIENT}, {"number": ""}, {"peer": "Announcer/ARI-07;1"}],
    ids=["both rang before one answered", "the same number", "no number", "no talk"],
)
def test_of_two_outside_none_called_the_other(change: dict[str, str]) -> None:
    found = pair(**change)
    assert (found.direction, found.caller, found.why) == ("outgoing", None, [CALLED_OUT])


def test_of_three_outside_the_first_two_count() -> None:
    rows = ONE_AFTER_THE_OTHER.format(second="6", number="79165550000", peer="PJSIP/mts-02")
    third = "8 start PJSIP/gsm-07 7 num=79167770000 context=from-trunk\n"
    assert (told(rows + third).caller, told(rows + third).called) == (CLIENT, "79165550000")


def test_an_extension_takes_part_where_asterisk_calls_two_outside() -> None:
    rows = ONE_AFTER_THE_OTHER.format(second="6", number="79165550000", peer="PJSIP/mts-02")
    found = told(rows + "8 start PJSIP/1001-09 9 num=1001 context=from-internal")
    assert (found.caller, found.called, found.why) == ("1001", CLIENT, [CALLED_OUT])
