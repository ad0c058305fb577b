"""User events that the dialplan logs tell a direction, and turn no call round."""

import re
from pathlib import Path

import pytest

from streams.calls.call_facts import fold_call
from streams.calls.direction import Parties, parties
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.settings import RuleSettings, Settings
from tests.calls.tables import cel, folded, outcome


def with_events(channel: str, num: str, exten: str, context: str, events: str) -> str:
    lines = [f"0  start  {channel} 0 num={num} exten={exten} context={context}"]
    for each in events.split():
        leg = re.fullmatch(r"leg:(\S+)=(\d+)", each)
        if leg:
            lines += [f"2  start  {leg[1]} {len(lines)} num={leg[2]} context=default"]
        elif each.isupper() and "TRANSFER" not in each and not each.startswith("XIVO"):
            lines += [f"1  user_defined  {channel} 0 num={num} exten=s context=user userdeftype={each}"]
        else:
            lines += [f"1  {each}  {channel} 0 num={num} exten=s context=user"]
    return "\n".join([*lines, f"9  hangup  {channel} 0 cause=16", f"9  end  {channel} 0", f"9  over  {channel} 0"])


def by_rules(tmp_path: Path, *lines: str) -> PbxProfile:
    file = tmp_path / "own.yaml"
    file.write_text("directions:\n" + "".join(f"  - {line}\n" for line in lines), encoding="utf-8")
    return PbxProfile.of(Settings.model_construct(rules=RuleSettings(file=file)))


TRUNKS_CALL = ("PJSIP/wazotrunk-01", "79161234567", "74951234567", "from-extern")
PHONES_CALL = ("PJSIP/k9aa-01", "1081", "1082", "default")
GOES_OUT = ("PJSIP/k9aa-01", "1081", "89161234567", "default")
WITH_COMPANYS_NUMBER = ("PJSIP/k9aa-01", "74950000000", "89161234567", "default")
UNKNOWN_TRUNKS_CALL = ("PJSIP/abc-01", "79161234567", "s", "my-carrier")
TO_COLLEAGUE = "leg:PJSIP/k9bb-02=1082"
TO_MOBILE = "XIVO_OUTCALL leg:PJSIP/wazotrunk-03=79165550000"
TO_CLIENT = "XIVO_OUTCALL leg:PJSIP/wazotrunk-02=89161234567"


@pytest.mark.parametrize(
    ("call", "events", "direction", "client"),
    [
        (TRUNKS_CALL, "XIVO_INCALL leg:PJSIP/u8xx-02=1077", "incoming", "+79161234567"),
        (TRUNKS_CALL, f"XIVO_INCALL XIVO_USER_FWD {TO_MOBILE}", "incoming", "+79161234567"),
        (TRUNKS_CALL, TO_MOBILE, "incoming", "+79161234567"),
        (TRUNKS_CALL, f"XIVO_INCALL BLINDTRANSFER {TO_MOBILE}", "incoming", "+79161234567"),
        (UNKNOWN_TRUNKS_CALL, f"XIVO_INCALL {TO_MOBILE}", "incoming", "+79161234567"),
        (PHONES_CALL, f"{TO_COLLEAGUE} XIVO_USER_FWD {TO_MOBILE}", "internal", None),
        (PHONES_CALL, f"{TO_COLLEAGUE} BLINDTRANSFER {TO_MOBILE}", "internal", None),
        (PHONES_CALL, f"{TO_COLLEAGUE} FORWARD {TO_MOBILE}", "internal", None),
        (PHONES_CALL, f"{TO_MOBILE} XIVO_USER_FWD", "outgoing", "+79165550000"),  # forwarded only after it went out
        (GOES_OUT, TO_CLIENT, "outgoing", "+79161234567"),
        (GOES_OUT, f"{TO_CLIENT} XIVO_USER_FWD", "outgoing", "+79161234567"),
        (WITH_COMPANYS_NUMBER, TO_CLIENT, "outgoing", "+79161234567"),
    ],
)
def test_a_user_event_turns_no_call_round(
    call: tuple[str, str, str, str], events: str, direction: str, client: str | None
) -> None:
    told = outcome(with_events(*call, events))
    assert (told.direction, told.client) == (direction, client)


def ends(table: str, profile: PbxProfile | None = None) -> Parties:
    profile = profile or PbxProfile()
    return parties(fold_call(folded(cel(table)), profile), profile)


def test_an_outgoing_call_has_no_inside_number_as_its_client() -> None:
    client = ("79165550000", "+79165550000")
    why = ["outgoing: the PBX logged XIVO_OUTCALL"]
    right = Parties("outgoing", "1081", "1082", *client, "wazotrunk", None, why)
    assert ends(with_events(*PHONES_CALL, TO_MOBILE)) == right
    by_name = ("PJSIP/k9aa-01", "1081", "alice", "default")
    assert ends(with_events(*by_name, TO_MOBILE.replace("79165550000", "1085"))) == Parties(
        "outgoing", "1081", "1085", why=why
    )


def test_a_call_that_an_event_makes_incoming_has_a_client_and_a_trunk(tmp_path: Path) -> None:
    profile = by_rules(tmp_path, "{event: MY_CLIENT, direction: incoming}", "{event: MY_OFFICE, direction: internal}")
    told = ends(with_events("PJSIP/k9aa-01", "1081", "1082", "default", "MY_CLIENT"), profile)
    why = ["incoming: the PBX logged MY_CLIENT"]
    assert told == Parties("incoming", "1081", "1082", "1081", "1081", "k9aa", None, why)
    told = ends(with_events(*TRUNKS_CALL, "MY_OFFICE leg:PJSIP/k9bb-02=1082"), profile)
    why = ["internal: the PBX logged MY_OFFICE"]
    assert told == Parties("internal", "wazotrunk", "74951234567", trunk="wazotrunk", why=why)


def test_an_employee_who_calls_through_a_trunk_goes_out_where_an_event_says_so() -> None:
    profile = PbxProfile(internal_patterns=(re.compile("79161112233"),), trunks=("mts",))
    table = with_events("PJSIP/mts-01", "79161112233", "1082", "from-extern", f"XIVO_OUTCALL {TO_COLLEAGUE}")
    assert outcome(table, profile=profile).direction == "outgoing"


def test_a_trunk_that_asterisk_called_did_not_bring_the_call() -> None:
    table = with_events("PJSIP/mts-01", "79161234567", "s", "from-extern", "XIVO_OUTCALL")
    called = ends(table.replace("context=from-extern", "context=from-extern app=AppDial2"))
    assert called.why[-1] == "outgoing: the PBX logged XIVO_OUTCALL"


def test_own_event_lines_go_before_the_shipped_ones_and_the_first_of_them_decides(tmp_path: Path) -> None:
    mine = "{event: MY_CLIENT, direction: incoming}"
    other = "{event: MY_OFFICE, direction: internal}"
    table = with_events("PJSIP/abc-01", "79161234567", "s", "carrier", "XIVO_OUTCALL MY_OFFICE MY_CLIENT")

    def told(*lines: str) -> CallResult:
        return outcome(table, profile=by_rules(tmp_path, *lines))

    assert told(mine, other).direction == "incoming"
    assert told(other, mine).direction == "internal"
    assert told("{event: [MY_OFFICE, MY_CLIENT], direction: internal}", mine).direction == "internal"
    assert told("{event: XIVO_OUTCALL, direction: internal}").direction == "internal"
    assert told("{event: OTHER, direction: internal}").direction == "outgoing"


def test_the_reason_names_those_events_of_the_line_that_were_logged(tmp_path: Path) -> None:
    profile = by_rules(tmp_path, "{event: [MY_SHOP, MY_CLIENT, MY_OTHER], direction: incoming}")
    told = outcome(with_events(*PHONES_CALL, "MY_SHOP MY_CLIENT UNKNOWN"), profile=profile)
    assert told.why[0] == "incoming: the PBX logged MY_CLIENT, MY_SHOP"
    trunks = outcome(with_events(*TRUNKS_CALL, "MY_SHOP"), profile=profile)
    assert trunks.why[:2] == (
        "incoming: the caller's wazotrunk came with context from-extern",
        "incoming: the PBX logged MY_SHOP",
    )
    assert (trunks.trunk, trunks.did, trunks.called) == ("wazotrunk", "74951234567", "74951234567")


def test_own_event_may_say_that_a_call_was_forwarded(tmp_path: Path) -> None:
    table = with_events(*PHONES_CALL, "leg:PJSIP/k9bb-02=1082 MY_FORWARD XIVO_OUTCALL leg:PJSIP/t-03=79165550000")
    assert outcome(table).direction == "outgoing"
    own = by_rules(tmp_path, "{event: MY_FORWARD, direction: forwarded}")
    assert outcome(table, profile=own).direction == "internal"


def test_a_trunk_by_the_settings_or_by_its_name_turns_round_no_more_than_one_by_its_context(tmp_path: Path) -> None:
    table = with_events("PJSIP/abc-01", "79161234567", "74951234567", "my-carrier", TO_MOBILE)
    assert outcome(table).direction == "outgoing"  # nothing but its number tells that it is a trunk
    by_settings = PbxProfile(trunks=("abc",))
    by_name = by_rules(tmp_path, "{endpoint: ab*, side: outside}")
    by_context = by_rules(tmp_path, "{context: my-carrier, side: outside}")
    for profile in (by_settings, by_name, by_context):
        told = outcome(table, profile=profile)
        assert (told.direction, told.client) == ("incoming", "+79161234567")
    phone = by_rules(tmp_path, "{endpoint: ab*, side: inside}")
    assert outcome(table, profile=phone).direction == "outgoing"


def test_a_user_event_goes_before_what_the_sides_say() -> None:
    told = outcome(with_events("PJSIP/1081-01", "1081", "1082", "from-internal", "XIVO_INCALL"))
    assert told.direction == "incoming"
    assert told.why[0] == "incoming: the PBX logged XIVO_INCALL"
