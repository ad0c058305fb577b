"""Gateways named like extensions, caller ids that the dialplan sets, DIDs, and contexts of other distributions."""

import pytest

from tests.calls.tables import outcome


def incoming(channel: str, num: str, rows: str, *, later: str | None = None, leg: str = "PJSIP/101-02") -> str:
    """A trunk's call that rang one phone in vain. `rows`: `exten@context` of a row before Dial() in from-internal."""
    lines, number = [], num
    for second, place in enumerate(rows.split()):
        exten, _, context = place.partition("@")
        event = "app_start" if second else "start"
        lines.append(f"0.{second}  {event}  {channel} 0 num={number} exten={exten} context={context} app=NoOp")
        number = num if later is None else later
    inside, over = f"num={number} exten=101 context=from-internal", f"num={number} exten=endcall context=from-internal"
    return "\n".join([
        *lines,
        f"2  app_start  {channel} 0 {inside} app=Dial appdata={leg.rpartition('-')[0]},20",
        f"2  start      {leg} 1 num=101 context=from-internal",
        f"9  hangup     {leg} 1 cause=16",
        f"9  end        {leg} 1",
        f"9  hangup     {channel} 0 {over} cause=16/NOANSWER",
        f"9  end        {channel} 0 {over}",
        f"9  over       {channel} 0",
    ])  # fmt: skip


@pytest.mark.parametrize("context", ["from-pstn", "from-trunk", "from-analog", "from-gsm", "incoming", "fxo-incoming"])
@pytest.mark.parametrize(
    ("channel", "num", "client"),
    [
        ("SIP/701-01", "735797", "735797"),
        ("SIP/701-01", "", None),
        ("PJSIP/99-01", "anonymous", None),
        ("PJSIP/701-01", "701", None),
        ("PJSIP/701-01", "0", None),
        ("IAX2/701-01", "22334", "22334"),
        ("SIP/701-01", "89161234567", "+79161234567"),
        ("PJSIP/701-01", "900", "900"),
    ],
)
def test_the_context_says_that_a_gateway_with_an_extensions_name_is_outside(
    context: str, channel: str, num: str, client: str | None
) -> None:
    call = outcome(incoming(channel, num, f"s@{context}"))
    assert (call.direction, call.client, call.did) == ("incoming", client, None)
    assert call.extension == "101"


def test_the_account_of_an_unknown_gateway_is_no_phone_that_asked_for_the_companys_number() -> None:
    call = outcome(incoming("SIP/100500-01", "100500", "74951234567@gateways"))
    assert (call.direction, call.client) == ("unknown", None)


def test_a_context_of_the_outside_counts_where_no_row_tells_of_the_channels_start() -> None:
    table = incoming("SIP/701-01", "735797", "s@from-pstn").replace("start  SIP/701", "answer  SIP/701")
    assert (outcome(table).direction, outcome(table).client) == ("incoming", "735797")


def test_an_extension_in_a_context_of_the_inside_stays_an_extension() -> None:
    assert outcome(incoming("SIP/701-01", "701", "101@from-internal")).direction == "internal"


@pytest.mark.parametrize("num", ["0890", "900", "112"])
@pytest.mark.parametrize("channel", ["SIP/mango-01", "PJSIP/100500-01", "IAX2/branch-01"])
def test_a_short_number_alone_makes_no_unknown_trunk_an_inside_phone(num: str, channel: str) -> None:
    call = outcome(incoming(channel, num, "74951234567@mango-in"))
    assert (call.direction, call.client) == ("unknown", None)
    assert "direction_unknown" in call.warnings


@pytest.mark.parametrize(
    ("channel", "first", "later", "client"),
    [
        ("SIP/goip1-01", "goip1", "79161234567", "+79161234567"),
        ("SIP/goip1-01", "100500", "79161234567", "+79161234567"),
        ("SIP/goip1-01", "101", "79161234567", "+79161234567"),
        ("PJSIP/100500-01", "100500", "89161234567", "+79161234567"),
        ("PJSIP/beronet-01", "anonymous", "+79161234567", "+79161234567"),
        ("PJSIP/sipnet-01", "0012345", "79161234567", "+79161234567"),
        ("Dongle/gsm1-0100", "", "79161234567", "+79161234567"),
        ("PJSIP/mts-01", "2345678", "74952345678", "+74952345678"),
    ],
)
@pytest.mark.parametrize("context", ["from-goip", "from-trunk", "gsm"])
def test_a_number_that_the_dialplan_sets_before_it_dials_is_the_callers(
    channel: str, first: str, later: str, client: str, context: str
) -> None:
    call = outcome(incoming(channel, first, f"s@{context} s@{context}", later=later))
    assert (call.direction, call.client) == ("incoming", client)
    assert call.caller == later


@pytest.mark.parametrize("later", ["989161234567", "1001", "74950000000", "SALES"])
def test_a_number_that_can_be_called_is_kept(later: str) -> None:
    call = outcome(incoming("PJSIP/mts-01", "79161234567", "74951234567@from-trunk s@from-trunk", later=later))
    assert (call.caller, call.client) == ("79161234567", "+79161234567")


@pytest.mark.parametrize(
    ("rows", "did"),
    [
        ("0012345@from-pstn-toheader 74951234567@from-pstn", "74951234567"),
        ("0012345@from-pstn-toheader", None),  # the request names an account, and no row shows the header
        ("0012345@from-pstn-toheader s@from-pstn", None),
        ("74951234567@from-pstn-toheader", "74951234567"),
        ("0012345@from-trunk", "0012345"),
        ("account7@from-trunk 74951234567@from-did", "74951234567"),
        ("4950000@from-isdn 4950017@from-trunk s@from-trunk", "4950017"),
        ("74951234567@from-trunk 74951234567@ext-did-0001 400@ext-queues", "74951234567"),
        ("74951234567@megafon 3@ivr-1 400@ext-queues", "74951234567"),
        ("+74951234567@from-provider 600@app-daynight", "+74951234567"),
        ("s@from-analog s@ivr-1 400@ext-queues", None),
        ("s@from-zaptel 101@from-internal 74959999999@from-internal", None),
        ("101@from-trunk", None),
        ("mytrunk@from-trunk goodbye@app-announcement-1", None),
        ("s@from-trunk 79165550000@from-internal", None),
    ],
)
def test_the_did_is_the_last_number_asked_for_while_still_outside(rows: str, did: str | None) -> None:
    call = outcome(incoming("PJSIP/megafon-01", "79161234567", rows))
    assert (call.direction, call.did) == ("incoming", did)


@pytest.mark.parametrize(
    ("name", "rows", "did"),
    [
        ("100500", "100500@from-trunk", None),
        ("100500", "100500@from-trunk 74951234567@from-did", "74951234567"),
        ("74951234567", "74951234567@from-trunk", "74951234567"),
    ],
)
def test_an_account_is_no_did_but_a_number_that_the_trunk_is_named_after_is(
    name: str, rows: str, did: str | None
) -> None:
    assert outcome(incoming(f"PJSIP/{name}-01", "79161234567", rows)).did == did


@pytest.mark.parametrize(
    ("context", "direction"),
    [
        ("SIP-TRUNK-AAA0001-incoming", "incoming"),  # MikoPBX
        ("trk-1-in", "incoming"),  # VitalPBX
        ("trk-12-in", "incoming"),
        ("dongle-incoming", "incoming"),  # the sample configuration of chan_dongle
        ("quectel-incoming", "incoming"),
        ("trunks", "incoming"),  # IvozProvider
        ("from-internal-incoming", "internal"),  # the inside is more than its ending
    ],
)
@pytest.mark.parametrize("num", ["anonymous", ""])
def test_contexts_of_other_distributions_tell_a_withheld_callers_side(context: str, direction: str, num: str) -> None:
    assert outcome(incoming("PJSIP/Beeline_trunk-01", num, f"74951234567@{context}")).direction == direction
