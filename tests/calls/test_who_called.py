"""Who called whom where dialled prefixes are stripped, and where extensions have five or six digits."""

import pytest

from streams.calls.pbx_profile import PbxProfile
from tests.calls.tables import outcome

FRANCE = PbxProfile(region="FR")


def outgoing(
    dialled: str,
    dial: str,
    leg: str,
    *,
    caller: str = "PJSIP/1001-01",
    num: str = "1001",
    num_at_dial: str | None = None,
    context: str = "from-internal",
) -> str:
    """An extension's call to the outside that rang in vain. `leg`: the trunk's channel, and its number if another."""
    channel, _, number = leg.partition(" ")
    place, at_dial = f"exten={dialled} context={context}", num if num_at_dial is None else num_at_dial
    return f"""
        0  start      {caller} 0 num={num} {place}
        1  app_start  {caller} 0 num={at_dial} {place} app=Dial appdata={dial}
        1  start      {channel} 1 num={number or dialled} context=from-trunk
        9  hangup     {channel} 1 cause=16
        9  end        {channel} 1
        9  hangup     {caller} 0 cause=16/CANCEL source={caller}
        9  end        {caller} 0
        9  over       {caller} 0
        """


@pytest.mark.parametrize(
    ("region", "dialled", "dial", "leg", "client"),
    [
        # An outside line's digit goes, and 8, 1 or 0 becomes the country code; the drivers spell Dial() their way.
        ("RU", "989161234567", "PJSIP/79161234567@mts,60", "PJSIP/mts-02", "+79161234567"),
        ("RU", "089161234567", "SIP/beeline/79161234567,60,T", "SIP/beeline-02", "+79161234567"),
        ("RU", "989161234567", "IAX2/user@office/89161234567", "IAX2/office-02", "+79161234567"),
        ("RU", "989161234567", "DAHDI/g0/89161234567,60", "DAHDI/i1/89161234567-02", "+79161234567"),
        ("RU", "789161234567", "DAHDI/r1/9161234567,60", "DAHDI/3-1", "+79161234567"),
        ("RU", "989161234567", "Dongle/dongle0/+79161234567", "Dongle/dongle0-0100", "+79161234567"),
        ("RU", "989161234567", "DAHDI/g0/ww89161234567", "DAHDI/1-1", "+79161234567"),
        ("RU", "989161234567", "Khomp/b0c1/89161234567", "Khomp/B0C1-0.0", "+79161234567"),
        ("RU", "989161234567", "PJSIP/79161234567@mts", "PJSIP/mts-02 74950000000", "+79161234567"),
        ("RU", "92345678", "PJSIP/74952345678@mts", "PJSIP/mts-02", "+74952345678"),
        ("US", "912125551234", "PJSIP/12125551234@isp", "PJSIP/isp-02", "+12125551234"),
        ("US", "812125551234", "PJSIP/isp/sip:+12125551234@10.1.1.1", "PJSIP/isp-02", "+12125551234"),
        ("GB", "902079460018", "PJSIP/442079460018@isp", "PJSIP/isp-02", "+442079460018"),
        ("DE", "00302345678", "SIP/dus/49302345678", "SIP/dus-02", "+49302345678"),
        ("FR", "00612345678", "PJSIP/33612345678@ovh", "PJSIP/ovh-02", "+33612345678"),
        ("UA", "90671234567", "PJSIP/380671234567@kyivstar", "PJSIP/kyivstar-02", "+380671234567"),
        # No Dial() in the rows: the trunk's own caller id shows the number.
        ("RU", "989161234567", "", "PJSIP/mts-02 79161234567", "+79161234567"),
        # What was dialled is the client where the trunk's number has a technical prefix of its own.
        ("RU", "89161234567", "PJSIP/123479161234567@mts", "PJSIP/mts-02", "+79161234567"),
        ("RU", "79161234567", "PJSIP/5589161234567@mts", "PJSIP/mts-02", "+79161234567"),
        # A foreign number, in full and after the outside line's digit.
        ("RU", "9810380671234567", "PJSIP/380671234567@mts", "PJSIP/mts-02", "+380671234567"),
        ("RU", "810380671234567", "PJSIP/00380671234567@mts", "PJSIP/mts-02", "+380671234567"),
        ("RU", "380671234567", "PJSIP/380671234567@mts", "PJSIP/mts-02", "+380671234567"),
        # Nothing tells that 9 is a prefix: never a number of Iran.
        ("RU", "989160000301", "PJSIP/989160000301@mts", "PJSIP/mts-02", "989160000301"),
        ("RU", "989160000301", "PJSIP/mts-endpoint", "PJSIP/mts-02", "989160000301"),
        # A local number after the digit.
        ("RU", "92345678", "PJSIP/2345678@mts", "PJSIP/mts-02", "2345678"),
    ],
)  # fmt: skip
def test_the_client_is_the_number_that_went_out(region: str, dialled: str, dial: str, leg: str, client: str) -> None:
    call = outcome(outgoing(dialled, dial, leg), profile=PbxProfile(region=region))
    assert (call.direction, call.client, call.extension) == ("outgoing", client, "1001")
    assert call.called == dialled
    assert call.called_e164 == (client if client.startswith("+") else None)


def test_click_to_call_with_an_outside_line_digit_reaches_the_number_that_went_out() -> None:
    call = outcome(
        """
        0  start      PJSIP/1001-01 0 num=1001 context=from-internal
        2  answer     PJSIP/1001-01 0 num=1001 exten=989161234567 context=from-internal app=AppDial2
        3  app_start  PJSIP/1001-01 0 num=1001 exten=989161234567 app=Dial appdata=PJSIP/79161234567@mts
        3  start      PJSIP/mts-02 1 num=79161234567 context=from-trunk
        9  hangup     PJSIP/mts-02 1 cause=16
        9  end        PJSIP/mts-02 1
        9  hangup     PJSIP/1001-01 0 cause=16/CANCEL
        9  end        PJSIP/1001-01 0
        9  over       PJSIP/1001-01 0
        """
    )
    assert (call.direction, call.client) == ("outgoing", "+79161234567")


def inside(caller: str, num: str, dialled: str, leg: str, leg_num: str, context: str) -> str:
    place = f"num={num} exten={dialled} context={context}"
    return f"""
        0  start      {caller} 0 {place}
        1  app_start  {caller} 0 {place} app=Dial appdata={leg.rpartition("-")[0]},20
        1  start      {leg} 1 num={leg_num} context={context}
        9  hangup     {leg} 1 cause=16
        9  end        {leg} 1
        9  hangup     {caller} 0 cause=16/NOANSWER
        9  end        {caller} 0
        9  over       {caller} 0
        """


@pytest.mark.parametrize("context", ["cos-all", "users", "office", "default", "sip-clients"])
@pytest.mark.parametrize(("num", "dialled"), [("10001", "10002"), ("200101", "200102"), ("23200", "23201")])
@pytest.mark.parametrize("driver", ["PJSIP", "SIP", "SCCP", "IAX2"])
def test_long_extensions_that_call_each_other_are_no_customers(
    context: str, num: str, dialled: str, driver: str
) -> None:
    call = outcome(inside(f"{driver}/{num}-01", num, dialled, f"{driver}/{dialled}-02", dialled, context))
    assert (call.direction, call.client, call.caller, call.called) == ("internal", None, num, dialled)


def test_long_extensions_on_devices_with_other_names_are_unknown_and_say_so() -> None:
    call = outcome(inside("PJSIP/ivanov-01", "10001", "10002", "PJSIP/petrov-02", "10002", "office"))
    assert (call.direction, call.client) == ("unknown", None)
    assert "direction_unknown" in call.warnings
    assert "numbers.internal_digits" in call.why[0]


def test_long_extensions_behind_one_proxy_are_no_customers() -> None:
    table = outgoing("10002", "PJSIP/kamailio/sip:10002@10.0.0.1", "PJSIP/kamailio-02", caller="PJSIP/kamailio-01",
                     num="10001", context="office").replace("context=from-trunk", "context=office")  # fmt: skip
    assert (outcome(table).direction, outcome(table).client) == ("unknown", None)


def test_a_gateway_named_like_an_extension_is_a_trunk_where_a_city_number_goes_out_on_it() -> None:
    table = outgoing("223344", "SIP/701/223344", "SIP/701-02").replace("context=from-trunk", "context=from-internal")
    call = outcome(table)
    assert (call.direction, call.client, call.extension) == ("outgoing", "223344", "1001")


@pytest.mark.parametrize(
    ("caller", "num", "dialled", "dial", "leg", "client"),
    [
        ("PJSIP/10001-01", "10001", "89161234567", "PJSIP/79161234567@mts", "PJSIP/mts-02", "+79161234567"),
        ("PJSIP/ivanov-01", "10001", "89161234567", "PJSIP/79161234567@mts", "PJSIP/mts-02", "+79161234567"),
        ("SIP/kassa-01", "200101", "9161234567", "SIP/mts/79161234567", "SIP/mts-02", "+79161234567"),
        ("SIP/kassa-01", "200101", "989161234567", "SIP/mts/89161234567", "SIP/mts-02", "+79161234567"),
        ("DAHDI/7-1", "RECEPTION", "89161234567", "SIP/mts/89161234567", "SIP/mts-02", "+79161234567"),
        ("PJSIP/ivanov-01", "", "89161234567", "PJSIP/79161234567@mts", "PJSIP/mts-02", "+79161234567"),
    ],
)
@pytest.mark.parametrize("context", ["cos-all", "office"])
def test_a_number_that_went_out_was_dialled_inside(
    caller: str, num: str, dialled: str, dial: str, leg: str, client: str, context: str
) -> None:
    call = outcome(outgoing(dialled, dial, leg, caller=caller, num=num, context=context))
    assert (call.direction, call.client) == ("outgoing", client)


def test_configured_extensions_of_five_digits_leave_city_numbers_outside() -> None:
    profile = PbxProfile(internal_digits=5)
    table = inside("PJSIP/gate-01", "223344", "s", "PJSIP/10001-02", "10001", "unheard-of")
    assert outcome(table, profile=profile).direction == "incoming"
    assert outcome(table).direction == "unknown"


def test_a_phone_whose_company_number_the_dialplan_sets_is_still_inside() -> None:
    table = outgoing(
        *("89161234567", "PJSIP/79161234567@mts", "PJSIP/mts-02"),
        caller="PJSIP/petrov-01",
        num="10001",
        num_at_dial="74950000000",
        context="office",
    )
    call = outcome(table)
    assert (call.direction, call.client, call.caller) == ("outgoing", "+79161234567", "10001")


@pytest.mark.parametrize(
    ("caller", "num", "context", "dialled", "leg", "direction", "client"),
    [
        # IvozProvider (irontec/ivozprovider issue 1469): users and trunks each behind a proxy of their own.
        ("PJSIP/b1c1t2_bob-01", "102", "users", "34911234567", "PJSIP/proxytrunks-02", "outgoing", "+34911234567"),
        ("PJSIP/b1c1t2_bob-01", "10200", "users", "34911234567", "PJSIP/proxytrunks-02", "outgoing", "+34911234567"),
        # MikoPBX (mikopbx/Core issue 307).
        ("PJSIP/644-01", "644", "all_peers", "0679847151", "PJSIP/SIP-PROVIDER-1-02", "outgoing", "+33679847151"),
        ("PJSIP/644001-01", "644001", "all_peers", "0679847151", "PJSIP/SIP-1-02", "outgoing", "+33679847151"),
        # A phone's caller id is the company's number from the start (chan-sccp/sccp_manager issue 70, voipiran/VOIZ 1).
        ("SCCP/147-000000B7", "33123456789", "from-internal", "0612345678", "SIP/ovh-02", "outgoing", "+33612345678"),
        ("SCCP/147-000000B7", "33123456789", "phones", "0612345678", "SIP/ovh-02", "outgoing", "+33612345678"),
    ],
)
def test_other_products_phones_call_out(
    caller: str, num: str, context: str, dialled: str, leg: str, direction: str, client: str
) -> None:
    dial = f"{leg.rpartition('-')[0]}/sip:{dialled}@10.0.0.1"
    call = outcome(outgoing(dialled, dial, leg, caller=caller, num=num, context=context), profile=FRANCE)
    assert (call.direction, call.client) == (direction, client)


@pytest.mark.parametrize("exten", ["endcall:hangupsilent", "goodbye", "74959999999", "1099"])
def test_nobody_called_what_an_ending_row_shows(exten: str) -> None:
    call = outcome(
        f"""
        0  start      PJSIP/1061-01 0 num=1061 exten=s context=default
        1  app_start  PJSIP/1061-01 0 num=1061 exten=s context=user app=Dial
        1  start      PJSIP/1062-02 1 num=1062 context=default
        9  hangup     PJSIP/1062-02 1 exten={exten} cause=16
        9  end        PJSIP/1062-02 1 exten={exten}
        9  hangup     PJSIP/1061-01 0 exten={exten} context=forward cause=16
        9  end        PJSIP/1061-01 0 exten={exten} context=forward
        9  over       PJSIP/1061-01 0 exten={exten} context=forward
        """
    )
    assert (call.direction, call.called) == ("internal", "1062")


@pytest.mark.parametrize(("exten", "called"), [("*80", "*80"), ("alice", "1062"), ("dial", "1062")])
def test_a_feature_code_was_dialled_but_a_name_gives_way_to_the_number_that_rang(exten: str, called: str) -> None:
    table = inside("PJSIP/1061-01", "1061", exten, "PJSIP/1062-02", "1062", "from-internal")
    assert outcome(table).called == called
