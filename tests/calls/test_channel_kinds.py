"""Channel names of every technology, and what they tell of who called whom."""

import msgspec
import pytest

from streams.calls.pbx_profile import PbxProfile
from streams.settings import NumberSettings, Settings
from tests.calls.tables import cel, outcome

CALL = """
    0  start   {caller} 0 num={number} exten={dialled} context={context}
    1  start   {leg}    1 num={leg_number} exten=s context={leg_context}
    3  answer  {leg}    1 num={leg_number} app=AppDial
    3  answer  {caller} 0 num={number} app=Dial
    3  enter   {leg}    1 app=AppDial
    3  enter   {caller} 0 app=Dial peer={leg}
    9  exit    {leg}    1 app=AppDial
    9  hangup  {leg}    1 cause=16
    9  end     {leg}    1
    9  exit    {caller} 0 app=Dial
    9  hangup  {caller} 0 cause=16/ANSWER
    9  end     {caller} 0
    9  over    {caller} 0
"""


@pytest.mark.parametrize(
    ("caller", "context"),
    [
        ("SIP/carrier-0000001a", "from-trunk"),
        ("SIP/10.1.2.3-0000001a", "from-sip-external"),
        ("PJSIP/carrier_with-dashes-000001", "from-trunk-pjsip-carrier"),
        ("PJSIP/anonymous-00000001", "from-sip-external"),
        ("SIP/74951001001-00000001", "from-trunk"),
        ("IAX2/carrier-1234", "from-trunk"),
        ("DAHDI/i1/79161234567-1a", "from-digital"),
        ("Motif/office@voice.example.com-8c3b", "from-pstn"),
        ("OOH323/10.1.2.3-2", "from-pstn"),
        ("Dongle/dongle0-0100000001", "from-trunk"),
        ("DAHDI/1-1", "from-analog"),
        ("Zap/1-1", "from-zaptel"),
        ("mISDN/1-u12", "from-pstn"),
    ],
)
def test_a_call_through_a_line_of_any_kind_is_incoming(caller: str, context: str) -> None:
    call = outcome(
        CALL.format(
            caller=caller, number="79161234567", dialled="74951001001", context=context,
            leg="PJSIP/1001-02", leg_number="1001", leg_context="from-internal",
        )
    )  # fmt: skip
    assert (call.direction, call.caller, call.client) == ("incoming", "79161234567", "+79161234567")
    assert (call.answered_by, call.talked_with, call.extension) == ("1001", ("1001",), "1001")


@pytest.mark.parametrize(
    ("leg", "context"),
    [
        ("PJSIP/carrier-02", "from-trunk"),
        ("SIP/carrier-0000001a", "from-trunk-sip-carrier"),
        ("DAHDI/i1/79161234567-1a", "from-digital"),
        ("DAHDI/1-1", "from-analog"),
        ("IAX2/carrier-99", "from-internal"),
        ("DAHDI/i1/79161234567-1a", "from-internal"),
        ("PJSIP/carrier-02", "default-key-internal"),
        ("PJSIP/carrier-02", "sip-trunks"),
    ],
)
def test_a_number_dialled_through_a_line_of_any_kind_is_outgoing(leg: str, context: str) -> None:
    call = outcome(
        CALL.format(
            caller="SIP/1001-0000001a", number="1001", dialled="79161234567", context="from-internal",
            leg=leg, leg_number="79161234567", leg_context=context,
        )
    )  # fmt: skip
    assert (call.direction, call.caller, call.called) == ("outgoing", "1001", "79161234567")
    assert (call.client, call.answered_by, call.extension) == ("+79161234567", "79161234567", "1001")


@pytest.mark.parametrize(
    ("caller", "leg"),
    [
        ("SCCP/1001-00000001", "SCCP/1002-00000002"),
        ("SIP/1001-b7101234", "SIP/1002-b7105678"),
        ("IAX2/1001-1234", "IAX2/1002-5678"),
        ("PJSIP/1001-0000001a", "PJSIP/1002-0000001b"),
        ("WebRTC/1001-0000001a", "PJSIP/1002-0000001b"),
        ("PJSIP/cul113qn-0000001a", "PJSIP/xfloi61j-0000001b"),
        ("DAHDI/5-1", "DAHDI/6-1"),
        ("Skinny/1001@desk-1", "SIP/1002-b7105678"),
    ],
)
def test_phones_of_any_kind_are_inside_and_called_by_their_numbers(caller: str, leg: str) -> None:
    call = outcome(
        CALL.format(
            caller=caller, number="1001", dialled="1002", context="from-internal",
            leg=leg, leg_number="1002", leg_context="from-internal",
        )
    )  # fmt: skip
    assert (call.direction, call.caller, call.called) == ("internal", "1001", "1002")
    assert (call.answered_by, call.client) == ("1002", None)


def test_calls_of_one_isdn_span_come_through_one_trunk() -> None:
    trunks = {
        outcome(
            CALL.format(
                caller=f"DAHDI/i1/{number}-1a", number=number, dialled="74951001001", context="from-digital",
                leg="PJSIP/1001-02", leg_number="1001", leg_context="from-internal",
            )
        ).trunk
        for number in ("79161234567", "79169998877")
    }  # fmt: skip
    assert len(trunks) == 1


@pytest.mark.parametrize(
    "number",
    ["anonymous", "Anonymous", "unknown", "Restricted", "unavailable", "private", "asterisk", "", "<unknown>"],
)
def test_a_caller_without_a_number_has_no_client_but_the_call_is_told(number: str) -> None:
    call = outcome(
        CALL.format(
            caller="PJSIP/carrier-01", number=number, dialled="74951001001", context="from-trunk",
            leg="PJSIP/1001-02", leg_number="1001", leg_context="from-internal",
        )
    )  # fmt: skip
    assert (call.direction, call.client, call.answered_by, call.did) == ("incoming", None, "1001", "74951001001")


@pytest.mark.parametrize(
    ("number", "client"),
    [
        ("sip:79161234567@carrier.example", "+79161234567"),
        ("sip:+79161234567@carrier.example;user=phone", "+79161234567"),
        ("tel:+79161234567;phone-context=example", "+79161234567"),
        ("79161234567@carrier.example", "+79161234567"),
        ("%2B79161234567", "+79161234567"),
        ("+79161234567", "+79161234567"),
        ("9161234567", "+79161234567"),
        ("alice", None),
        ("alice@example.com", None),
        ("sip:alice@10.1.2.3", None),
    ],
)
def test_clients_number_out_of_what_carriers_send(number: str, client: str | None) -> None:
    assert PbxProfile().normalised_number(number) == client


def test_a_mobile_of_the_staff_that_calls_in_through_a_trunk_is_inside() -> None:
    profile = PbxProfile.of(Settings(numbers=NumberSettings(internal_patterns=(r"7916111\d{4}",))))
    call = outcome(
        CALL.format(
            caller="PJSIP/fmc-01", number="79161112233", dialled="79031234567", context="from-trunk",
            leg="PJSIP/carrier-02", leg_number="79031234567", leg_context="from-trunk",
        ),
        profile=profile,
    )  # fmt: skip
    assert (call.direction, call.caller, call.called) == ("outgoing", "79161112233", "79031234567")


def test_a_mobile_of_the_staff_that_is_rung_through_a_trunk_is_the_extension() -> None:
    profile = PbxProfile.of(Settings(numbers=NumberSettings(internal_patterns=(r"7916111\d{4}",))))
    call = outcome(
        CALL.format(
            caller="PJSIP/carrier-01", number="79031234567", dialled="74951001001", context="from-trunk",
            leg="PJSIP/fmc-02", leg_number="79161112233", leg_context="from-trunk",
        ),
        profile=profile,
    )  # fmt: skip
    assert (call.direction, call.client) == ("incoming", "+79031234567")
    assert (call.answered_by, call.extension) == ("79161112233", "79161112233")


def test_systemname_stands_before_the_second_in_uniqueid() -> None:
    rows = CALL.format(
        caller="PJSIP/carrier-01", number="79031234567", dialled="74951001001", context="from-trunk",
        leg="PJSIP/1001-02", leg_number="1001", leg_context="from-internal",
    )  # fmt: skip
    plain = outcome(cel(rows))
    named = cel(rows, linkedid="pbx-2-1795389780.0")
    call = outcome([msgspec.structs.replace(row, uniqueid=f"pbx-2-{row.uniqueid}") for row in named])
    assert (call.started_at, call.answered, call.talked_with) == (plain.started_at, True, ("1001",))


def test_a_long_extension_on_a_device_with_another_name_is_told_by_its_number() -> None:
    call = outcome(
        CALL.format(
            caller="PJSIP/yeFKZg6L-01", number="10006", dialled="30001", context="ctx-acme-internal-a25ef16e",
            leg="PJSIP/p4Nv-02", leg_number="10007", leg_context="ctx-acme-internal-a25ef16e",
        )
    )  # fmt: skip
    assert (call.direction, call.caller, call.called) == ("internal", "10006", "30001")
    assert (call.answered_by, call.extension, call.talked_with) == ("10007", "10006", ("p4Nv",))


def test_a_second_device_of_an_extension_is_told_by_the_extension() -> None:
    call = outcome(
        CALL.format(
            caller="PJSIP/carrier-01", number="79161234567", dialled="74951001001", context="from-pstn",
            leg="PJSIP/991001-02", leg_number="1001", leg_context="from-internal",
        )
    )  # fmt: skip
    assert (call.answered_by, call.extension, call.talked_with) == ("1001", "1001", ("991001",))


def test_a_trunk_with_a_short_name_is_a_trunk_where_its_context_lets_outside_calls_in() -> None:
    call = outcome(
        CALL.format(
            caller="SIP/5001-01", number="79161234567", dialled="74951001001", context="from-trunk",
            leg="SIP/1001-02", leg_number="1001", leg_context="from-internal",
        )
    )  # fmt: skip
    assert (call.direction, call.caller, call.client, call.trunk) == ("incoming", "79161234567", "+79161234567", "5001")


def test_a_tie_line_to_another_office_brings_inside_calls() -> None:
    call = outcome(
        CALL.format(
            caller="IAX2/branch-01", number="2005", dialled="1001", context="from-internal",
            leg="SIP/1001-02", leg_number="1001", leg_context="from-internal",
        )
    )  # fmt: skip
    assert (call.direction, call.caller, call.called, call.client) == ("internal", "2005", "1001", None)


def test_a_short_outside_number_is_outgoing_where_a_trunk_was_called() -> None:
    call = outcome(
        CALL.format(
            caller="PJSIP/1001-01", number="1001", dialled="112", context="from-internal",
            leg="PJSIP/carrier-02", leg_number="112", leg_context="from-pstn",
        )
    )  # fmt: skip
    assert (call.direction, call.called, call.client, call.answered_by) == ("outgoing", "112", "112", "112")
