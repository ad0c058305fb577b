"""What became of each leg, in words."""

import pytest

from tests.calls.tables import classified


def outcomes(rows: str) -> dict[str, str]:
    return {leg.channel: leg.outcome for leg in classified(rows).legs}


@pytest.mark.parametrize("cause", [0, 16, 17, 34, 127])
def test_a_phone_that_rings_while_the_caller_gives_up_is_cancelled_whatever_failed_before(cause: int) -> None:
    # A ring group: 1001 is busy, and its cause is written on the others when the caller gives up.
    legs = outcomes(f"""
        0 start PJSIP/trunk1-1 0 num=79161234567 exten=74951001001 context=from-trunk
        0 start PJSIP/1001-2 1 num=1001
        0 start PJSIP/1002-3 2 num=1002
        1 hangup PJSIP/1001-2 1 cause=17 source=PJSIP/1001-2
        1 end PJSIP/1001-2 1
        9 hangup PJSIP/1002-3 2 cause={cause}
        9 end PJSIP/1002-3 2
        9 hangup PJSIP/trunk1-1 0 cause=17/BUSY source=PJSIP/trunk1-1
        9 end PJSIP/trunk1-1 0
        9 over PJSIP/trunk1-1 0
    """)
    assert legs == {"PJSIP/trunk1-1": "calling", "PJSIP/1001-2": "busy", "PJSIP/1002-3": "cancelled"}


def test_a_phone_that_rang_out_before_the_voicemail_was_not_cancelled_by_the_caller() -> None:
    legs = outcomes("""
        0 start PJSIP/trunk1-1 0 num=79161234567 exten=74951001001 context=from-trunk
        0 start PJSIP/1001-2 1 num=1001
        4 hangup PJSIP/1001-2 1 cause=0
        4 end PJSIP/1001-2 1
        4 answer PJSIP/trunk1-1 0 app=VoiceMail
        8 hangup PJSIP/trunk1-1 0 cause=0/NOANSWER source=PJSIP/trunk1-1
        8 end PJSIP/trunk1-1 0
        8 over PJSIP/trunk1-1 0
    """)
    assert legs["PJSIP/1001-2"] == "no answer"
