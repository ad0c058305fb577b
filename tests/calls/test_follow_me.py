"""FreePBX's follow-me, answered on the mobile: the call is of the extension that is followed."""

import pytest

from tests.calls.tables import outcome

MOBILE = "79160000132"
FMGL = f"Local/FMGL-8{MOBILE[1:]}#@from-internal-00000002"
FMPR = "Local/FMPR-1003@from-internal-00000001"
TRUNK, OUT = "PJSIP/carrier-01", "PJSIP/carrier-05"
RINGS = f"""
    1 start     {FMPR};1 1 num=1003 context=from-internal
    1 start     {FMPR};2 2 exten=FMPR-1003 context=from-internal
    1 start     PJSIP/1003-04 5 num=1003 context=from-internal
"""
ANSWERS = f"""
    2 start     {FMGL};1 3 num=8{MOBILE[1:]} context=from-internal
    2 start     {FMGL};2 4 exten=FMGL-8{MOBILE[1:]}# context=from-internal
    2 app_start {FMGL};2 4 exten=s context=macro-dialout-trunk app=Dial appdata=PJSIP/{MOBILE}@carrier,300,T
    2 start     {OUT} 6 num={MOBILE} context=from-trunk
    6 answer    {OUT} 6
    6 enter     {OUT} 6
    6 enter     {FMGL};2 4 peer={OUT}
    6 enter     {FMGL};1 3
    6 enter     {TRUNK} 0 peer={FMGL};1
    36 exit     {TRUNK} 0 peer={FMGL};1
    36 hangup   {OUT} 6 cause=16
    36 end      {OUT} 6
    36 hangup   {TRUNK} 0 cause=16/ANSWER
    36 end      {TRUNK} 0
    36 over     {TRUNK} 0
"""
BOTH = f"Local/FMPR-1003@from-internal&Local/FMGL-8{MOBILE[1:]}#@from-internal,20"
ALONE = f"Local/FMGL-8{MOBILE[1:]}#@from-internal/n,20"
MEMBER = "Local/1003@from-queue-00000009"


def begun(dial: str) -> str:
    return f"    0 start {TRUNK} 0 num=79160000131 exten=74950000000 context=from-trunk\n{dial}"


DIALS = {
    "together": f"0 app_start {TRUNK} 0 exten=1003 context=ext-findmefollow app=Dial appdata={BOTH}",
    "together in a macro": f"0 app_start {TRUNK} 0 exten=s context=macro-dial app=Dial appdata={BOTH}",
    "the mobile alone": f"0 app_start {TRUNK} 0 exten=1003 context=ext-findmefollow app=Dial appdata={ALONE}",
    "the mobile alone, in a macro": f"""0 answer {TRUNK} 0 exten=FM1003 context=ext-findmefollow
    1 app_start {TRUNK} 0 exten=s context=macro-dial app=Dial appdata={ALONE}""",
    "a ring group's, together": f"0 app_start {TRUNK} 0 exten=600 context=ext-findmefollow app=Dial appdata={BOTH}",
    "no row of the dialling": f"0 answer {TRUNK} 0 exten=FM1003 context=ext-findmefollow",
    "before another's": f"""0 app_start {TRUNK} 0 exten=1003 context=ext-findmefollow app=Dial appdata={ALONE}
    1 answer {TRUNK} 0 exten=1007 context=ext-findmefollow""",
    "a queue's member that follows": f"""0 app_start {TRUNK} 0 exten=400 context=ext-queues app=Queue appdata=400
    0 start {MEMBER};1 11 num=1003 context=from-queue
    0 start {MEMBER};2 12 exten=1003 context=from-queue
    1 app_start {MEMBER};2 12 exten=s context=macro-dial app=Dial appdata={ALONE}""",
}


@pytest.mark.parametrize("phone_rings", [RINGS, ""], ids=["phone and mobile", "mobile"])
@pytest.mark.parametrize("dial", DIALS.values(), ids=list(DIALS))
def test_the_call_is_of_the_extension_that_is_followed(dial: str, phone_rings: str) -> None:
    call = outcome(begun(dial) + phone_rings + ANSWERS)
    assert (call.answered, call.answered_by, call.extension) == (True, MOBILE, "1003")


def test_of_two_that_follow_each_has_its_own() -> None:
    other = "Local/FMPR-1007@from-internal&Local/FMGL-89160000777#@from-internal,20"
    dials = f"0 app_start {MEMBER};2 12 exten=s context=macro-dial app=Dial appdata={other}\n" + DIALS["together"]
    assert outcome(begun(dials) + ANSWERS).extension == "1003"


def test_a_mobile_that_nobody_is_followed_by_belongs_to_nobody() -> None:
    dial = f"0 app_start {TRUNK} 0 exten=s context=ivr-1 app=Dial appdata={ALONE}"
    assert outcome(begun(dial) + ANSWERS).extension is None


def test_a_mobile_that_the_trunks_own_channel_called_after_the_follow_me_belongs_to_nobody() -> None:
    call = outcome(f"""
        0 start     {TRUNK} 0 num=79160000131 exten=74950000000 context=from-trunk
        0 answer    {TRUNK} 0 exten=1003 context=ext-findmefollow
        1 app_start {TRUNK} 0 exten=s context=app-miscdest app=Dial appdata=PJSIP/{MOBILE}@carrier
        1 start     {OUT} 6 num={MOBILE} context=from-trunk
        6 enter     {OUT} 6
        6 enter     {TRUNK} 0 peer={OUT}
        9 over      {TRUNK} 0
    """)
    assert (call.answered_by, call.extension) == (MOBILE, None)
