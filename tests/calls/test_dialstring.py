"""Numbers out of what Dial() was given, in every technology's spelling."""

import pytest

from streams.calls.dialstring import dialled
from tests.calls.tables import outcome


@pytest.mark.parametrize(
    ("appdata", "numbers"),
    [
        ("PJSIP/79161234567@trunk1,30,tT", (("trunk1", "79161234567"),)),
        ("PJSIP/trunk1/sip:79161234567@carrier.example:5060,30", (("trunk1", "79161234567"),)),
        ("SIP/carrier/+79161234567", (("carrier", "79161234567"),)),
        ("IAX2/user:secret@carrier/79161234567,60", (("carrier", "79161234567"),)),
        ("DAHDI/g0/79161234567", (("g0", "79161234567"),)),
        ("PJSIP/1001&PJSIP/79161234567@trunk1", (("trunk1", "79161234567"),)),
        ("PJSIP/1001/sip:1001@10.0.0.5:5060;ob,30", (("1001", "1001"),)),
        ("Local/1001@from-queue/n", ()),
        ("PJSIP/1001,4,tTkK", ()),
        ("", ()),
        ("&&/,", ()),
    ],
)
def test_destinations(appdata: str, numbers: tuple[tuple[str, str], ...]) -> None:
    assert dialled(appdata) == numbers


def test_click_to_call_where_the_dialplan_dials_in_a_gosub_has_its_client() -> None:
    call = outcome("""
        0  start     PJSIP/1001-01   0 num=1001 exten=s context=from-internal
        2  answer    PJSIP/1001-01   0 num=1001 exten=s app=AppDial2
        2  app_start PJSIP/1001-01   0 num=1001 exten=s app=Dial appdata=PJSIP/79161234567@trunk1,30
        2  start     PJSIP/trunk1-02 1 exten=s context=from-trunk
        5  answer    PJSIP/trunk1-02 1 num=s exten=s app=AppDial
        5  enter     PJSIP/trunk1-02 1 num=s
        5  enter     PJSIP/1001-01   0 peer=PJSIP/trunk1-02
        9  exit      PJSIP/1001-01   0 peer=PJSIP/trunk1-02
        9  hangup    PJSIP/1001-01   0 cause=16/ANSWER
        9  end       PJSIP/1001-01   0
        9  end       PJSIP/trunk1-02 1
        9  over      PJSIP/trunk1-02 1
    """)
    assert (call.direction, call.caller, call.called, call.client, call.answered_by) == (
        "outgoing", "1001", "79161234567", "+79161234567", "79161234567",
    )  # fmt: skip
