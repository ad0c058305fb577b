"""Who ended an answered call: the first of its last second who hung up, be it a phone or a trunk."""

import pytest

from tests.calls.tables import outcome

QUEUED = """
    0  start     {trunk} 0 num=79161234567 exten=74951001001 context=from-trunk
    0  answer    {trunk} 0
    0  app_start {trunk} 0 exten=900 context=ext-queues app=Queue appdata=900
    1  start     Local/2041@from-queue-01;1 1 context=from-queue
    1  start     Local/2041@from-queue-01;2 2 context=from-queue exten=2041
    1  start     {phone} 3 num=2041 context=from-internal
    4  answer    {phone} 3
    4  enter     {phone} 3
    4  enter     Local/2041@from-queue-01;2 2 peer={phone}
    4  enter     Local/2041@from-queue-01;1 1
    4  enter     {trunk} 0 peer=Local/2041@from-queue-01;1
    {end:.3f} hangup {phone} 3 cause=16 source={by_phone}
    {end:.3f} end    {phone} 3
    {end:.3f} hangup Local/2041@from-queue-01;2 2 cause=16/ANSWER source={by_far}
    {end:.3f} end    Local/2041@from-queue-01;2 2
    {end:.3f} hangup Local/2041@from-queue-01;1 1 cause=16 source={by_near}
    {end:.3f} end    Local/2041@from-queue-01;1 1
    60 hangup    {trunk} 0 cause={cause}/ANSWER source={by_trunk}
    60 end       {trunk} 0
    60 over      {trunk} 0
"""


def ended_by(
    trunk: str = "PJSIP/carrier-a1", phone: str = "PJSIP/2041-b1", end: float = 60, **given: object
) -> str | None:
    sources = {"by_phone": "", "by_far": "", "by_near": "", "by_trunk": "", "cause": 16} | given
    named = {key: str(value).replace("TRUNK", trunk).replace("PHONE", phone) for key, value in sources.items()}
    return outcome(QUEUED.format(trunk=trunk, phone=phone, end=end, **named)).ended_by


CHANNELS = [
    ("PJSIP/carrier-a1", "PJSIP/2041-b1"),
    ("SIP/carrier-0000001a", "SCCP/2041-00000002"),
    ("DAHDI/i1/7916-1a", "SIP/2041-b1"),
]


@pytest.mark.parametrize(("trunk", "phone"), CHANNELS)
@pytest.mark.parametrize("by_trunk", ["TRUNK", "dialplan/builtin", ""])
@pytest.mark.parametrize("end", [59.2, 60])
def test_the_agent_hung_up_whatever_the_callers_own_row_says(trunk: str, phone: str, by_trunk: str, end: float) -> None:
    told = ended_by(trunk, phone, end, by_phone="PHONE", by_far="PHONE", by_trunk=by_trunk, cause=31)
    assert told == "called"


@pytest.mark.parametrize(("trunk", "phone"), CHANNELS)
def test_the_caller_hung_up_though_the_dialplan_laid_the_agent_down(trunk: str, phone: str) -> None:
    assert ended_by(trunk, phone, by_far="dialplan/builtin", by_near="TRUNK", by_trunk="TRUNK", cause=31) == "caller"
    assert ended_by(trunk, phone, by_trunk="TRUNK") == "caller"


def test_an_agent_who_left_before_the_last_second_did_not_end_the_call() -> None:
    assert ended_by(end=50, by_phone="PHONE", by_trunk="TRUNK") == "caller"
    assert ended_by(end=50, by_phone="PHONE", by_trunk="dialplan/builtin") == "pbx"


def test_no_row_that_names_somebody_tells_nothing() -> None:
    assert ended_by() is None


def test_a_phone_that_declined_did_not_end_a_call_that_nobody_answered() -> None:
    call = outcome("""
        0  start  PJSIP/carrier-a1 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start  PJSIP/2041-b1    1 num=2041 context=from-internal
        5  hangup PJSIP/2041-b1    1 cause=17 source=PJSIP/2041-b1
        5  end    PJSIP/2041-b1    1
        5  hangup PJSIP/carrier-a1 0 cause=17/BUSY source=dialplan/builtin
        5  end    PJSIP/carrier-a1 0
        5  over   PJSIP/carrier-a1 0
    """)
    assert call.ended_by == "pbx"
