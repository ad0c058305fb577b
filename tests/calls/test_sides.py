"""On which side of the PBX each channel's party is, and what told it, in the order in which the evidence counts."""

import re
from typing import Any

import pytest

from streams.calls.call_facts import fold_call
from streams.calls.pbx_profile import PbxProfile
from tests.calls.tables import cel, folded
from tests.calls.test_user_events import by_rules


def sides(rows: str, profile: PbxProfile | None = None) -> dict[str, tuple[str | None, str]]:
    """By channel: the side, and the reason."""
    facts = fold_call(folded(cel(rows)), profile or PbxProfile())
    return {channel.name: (channel.side, channel.side_reason) for channel in facts.channels.values()}


def calling(row: str, profile: PbxProfile | None = None, event: str = "start") -> tuple[str | None, str]:
    """The side of a channel that began a call and called nobody. `row`: its name and columns."""
    name, _, columns = row.partition(" ")
    return sides(f"0 {event} {name} 0 {columns}", profile)[name]


def called(row: str, dial: str = "", profile: PbxProfile | None = None, event: str = "start") -> tuple[str | None, str]:
    """The side of a channel that 1001 called by a Dial(), from a context that tells no side."""
    name, _, columns = row.partition(" ")
    rows = f"""
        0 start     PJSIP/1001-01 0 num=1001 exten=s context=office
        1 app_start PJSIP/1001-01 0 num=1001 exten=s context=office app=Dial appdata={dial or name.rpartition("-")[0]}
        1 {event}   {name} 1 {columns}
        """
    return sides(rows, profile)[name]


STAFF = PbxProfile(internal_patterns=(re.compile(r"7916555\d{4}"),))
TRUNKS = PbxProfile(trunks=("mts", "gw*"))


@pytest.mark.parametrize("channel", [calling, called])
@pytest.mark.parametrize(
    ("row", "profile", "side", "reason"),
    [
        ("PJSIP/mts-01 num=79165551234 context=from-trunk", STAFF, "inside",
         "number 79165551234 is one of the configured inside numbers"),
        ("PJSIP/mts-01 num=1001 context=from-internal", TRUNKS, "outside", "mts is a configured trunk"),
        ("PJSIP/gw7-01 num=1001 context=from-internal", TRUNKS, "outside", "gw7 is a configured trunk"),
        ("PJSIP/1002-01 context=office", TRUNKS, "inside", "1002 is an extension"),
        ("SIP/kassa-01 context=from-users", None, "inside", "kassa came with context from-users"),
        ("SIP/kassa-01 context=from-trunk-x", None, "outside", "kassa came with context from-trunk-x"),
        ("DAHDI/7-1 num=7 context=from-users", None, "inside", "7 came with context from-users"),  # a port is no name
        ("SIP/kassa-01 num=1002 context=shop", None, "inside", "number 1002 is short"),
        ("SIP/kassa-01 num=79161234567 context=shop", None, "outside", None),
        ("SIP/kassa-01 context=shop", None, None, "neither kassa, nor context shop, nor a number tells its side"),
        ("SIP/kassa-01", None, None, "neither kassa, nor context (none), nor a number tells its side"),
        ("SIP/kassa-01 num=anonymous context=shop", None, None,
         "neither kassa, nor context shop, nor a number tells its side"),
    ],
)  # fmt: skip
def test_settings_names_contexts_and_numbers_tell_a_side(
    channel: Any, row: str, profile: PbxProfile | None, side: str | None, reason: str | None
) -> None:
    found = channel(row, profile=profile)
    assert found[0] == side
    assert reason is None or found[1] == reason


def test_a_direction_line_for_an_endpoint_goes_before_its_name_and_after_the_trunks(tmp_path: Any) -> None:
    rules = by_rules(tmp_path, "{endpoint: 70*, side: outside}", "{endpoint: mts, side: inside}")
    assert calling("SIP/701-01 num=701", rules) == ("outside", "701 is outside by the direction patterns")
    assert calling("SIP/mts-01 num=79161234567", rules) == ("inside", "mts is inside by the direction patterns")
    both = PbxProfile(directions=rules.directions, trunks=("mts",))
    assert calling("SIP/mts-01 num=79161234567", both) == ("outside", "mts is a configured trunk")
    assert calling("SIP/801-01 num=801", rules) == ("inside", "801 is an extension")


def test_a_caller_is_where_its_context_is_though_its_name_is_an_extension() -> None:
    assert calling("SIP/701-01 num=735797 context=from-pstn") == ("outside", "701 came with context from-pstn")
    assert calling("SIP/701-01 num=735797 context=from-internal") == ("inside", "701 is an extension")
    assert called("SIP/701-02 num=1002 context=from-pstn") == ("inside", "701 is an extension")


@pytest.mark.parametrize(
    ("leg", "dial", "side", "reason"),
    [
        # Dial() was given an outside number for the channel, whatever its name and context say.
        ("SIP/701-02 num=79161234567 context=from-internal", "SIP/701/79161234567", "outside",
         "79161234567 was called on 701"),
        ("SIP/701-02 num=223344 context=from-internal", "SIP/701/223344", "outside", "223344 was called on 701"),
        ("SIP/mts-02 num=223344 context=from-internal", "SIP/mts/223344", "inside",
         "mts came with context from-internal"),
        ("SIP/mts-02 num=223344 context=office", "SIP/mts/223344", "outside", "223344 was called on mts"),
        ("SIP/proxy-02 num=1002 context=office", "SIP/proxy/1002", "inside", "number 1002 is short"),
        # Not by Dial()'s word, but by the number that the leg shows.
        ("SIP/mts-02 num=79161234567 context=office", "SIP/mts", "outside", "79161234567 was called on mts"),
        ("SIP/mts-02 num=79161234567 exten=79161234567 context=from-internal", "SIP/mts", "outside",
         "79161234567 was called on mts"),
        ("SIP/mts-02 num=79161234567 exten=1001 context=from-internal", "SIP/mts", "inside",
         "mts came with context from-internal"),
        # Five or six digits: an extension where the device is named so, else unknown; a line of a card is outside.
        ("SIP/10002-02 num=10002 context=office", "SIP/10002", "inside",
         "10002 is named after its number, as phones are"),
        ("SIP/kassa-02 num=10002 context=office", "SIP/kassa", None,
         "number 10002 of kassa may be an extension (numbers.internal_digits) or not"),
        ("DAHDI/3-1 num=22334 context=office", "DAHDI/3", "outside", "22334 was called on 3"),
    ],
)  # fmt: skip
def test_a_channel_that_was_called_is_on_the_side_of_the_number_called(
    leg: str, dial: str, side: str | None, reason: str
) -> None:
    assert called(leg, dial) == (side, reason)


@pytest.mark.parametrize(
    ("row", "side", "reason"),
    [
        # Where the dialplan has led it, not where it came in: only a caller who withheld the number came from outside.
        ("SIP/mts-01 num=anonymous context=from-internal", "outside",
         "mts withheld its number, as no inside phone does"),
        ("SIP/mts-01 num=Anonymous context=from-internal", "outside",
         "mts withheld its number, as no inside phone does"),
        ("SIP/mts-01 num=79161234567 context=from-internal", "outside", "number 79161234567 is not an inside number"),
        ("SIP/mts-01 num=1001 context=from-internal", "inside", "mts came with context from-internal"),
        ("SIP/mts-01 num=anonymous context=from-trunk", "outside", "mts came with context from-trunk"),
    ],
)  # fmt: skip
def test_a_channel_without_its_start_may_have_been_led_inside(row: str, side: str, reason: str) -> None:
    assert calling(row, event="answer") == (side, reason)


def test_a_phone_that_withholds_its_number_is_inside_where_it_began_there() -> None:
    assert calling("SIP/kassa-01 num=anonymous context=from-internal")[0] == "inside"


CALLER = "0 start SIP/kassa-01 0 num={num} exten={exten} context=shop\n"
TRUNK_LEG = "1 start SIP/mts-02 1 num={called} context=from-trunk\n"
PHONE_LEG = "1 start SIP/1002-02 1 num=1002 context=from-internal\n"
LATER = "0 app_start SIP/kassa-01 0 num={later} exten={exten} context=shop app=NoOp\n"


@pytest.mark.parametrize("num", ["10001", "kassa", "7", "101", ""])
def test_who_asked_for_the_number_that_went_out_is_inside(num: str) -> None:
    rows = (CALLER + TRUNK_LEG).format(num=num, exten="89161234567", called="79161234567")
    assert sides(rows)["SIP/kassa-01"] == ("inside", "89161234567, which kassa asked for, went out on mts")


@pytest.mark.parametrize(
    ("num", "exten", "went_out"),
    [
        ("anonymous", "89161234567", "79161234567"),  # withheld, as no phone does
        ("10001", "89161234567", "79165550000"),  # another number went out: the call was forwarded
        ("10001", "1002", "1002"),
        ("10001", "22334", "22334"),
    ],
)
def test_who_did_not_ask_for_the_number_that_went_out_may_be_anybody(num: str, exten: str, went_out: str) -> None:
    rows = (CALLER + TRUNK_LEG).format(num=num, exten=exten, called=went_out)
    assert sides(rows)["SIP/kassa-01"][0] is None


def test_a_valid_number_tells_more_than_who_was_called() -> None:
    rows = (CALLER + TRUNK_LEG).format(num="79035550000", exten="89161234567", called="79161234567")
    assert sides(rows)["SIP/kassa-01"] == ("outside", "number 79035550000 is not an inside number")


@pytest.mark.parametrize("num", ["10001", "kassa", "101", "anonymous"])
def test_whose_number_the_dialplan_set_came_from_outside_where_nothing_went_out(num: str) -> None:
    rows = CALLER + LATER
    told = sides(rows.format(num=num, exten="s", later="79161234567") + PHONE_LEG)["SIP/kassa-01"]
    assert told == ("outside", "kassa got the number 79161234567 from the dialplan")
    out = (rows + TRUNK_LEG).format(num="10001", exten="s", later="79161234567", called="79165550000")
    assert sides(out)["SIP/kassa-01"][0] is None


@pytest.mark.parametrize(
    ("num", "exten", "leg", "side"),
    [
        ("101", "74951234567", PHONE_LEG, None),
        ("101", "74951234567", "", "inside"),
        ("101", "1002", PHONE_LEG, "inside"),
        (
            "101",
            "74951234567",
            TRUNK_LEG.format(called="79161234567") + PHONE_LEG.replace(" 1 num", " 2 num"),
            "inside",
        ),
    ],
)
def test_a_short_number_that_asked_for_an_outside_one_and_rang_inside_may_be_anybodys(
    num: str, exten: str, leg: str, side: str | None
) -> None:
    told = sides(CALLER.format(num=num, exten=exten) + leg)["SIP/kassa-01"]
    assert told[0] == side
    if side is None:
        assert told[1] == f"{exten}, which kassa asked for with number {num}, rang inside"


def test_a_caller_without_a_number_is_said_to_have_none() -> None:
    rows = CALLER.format(num="", exten="74951234567") + PHONE_LEG
    assert sides(rows)["SIP/kassa-01"] == (None, "74951234567, which kassa asked for with number (none), rang inside")
