"""Click to call: Asterisk calls one's own phone first, then the other one."""

import pytest

from tests.calls.tables import outcome

TABLE = """
    0   start     Local/1051@cti-a1;1 0 exten=1051 context={context}
    0   start     Local/1051@cti-a1;2 1 exten=1051 context={context}
    0   start     {first}  2 num=1051 context=from-internal
    3   answer    {first}  2 app=AppDial
    3   answer    Local/1051@cti-a1;1 0
    3   enter     {first}  2
    3   enter     Local/1051@cti-a1;2 1 peer={first}
    3.1 app_start Local/1051@cti-a1;1 0 num=1051 exten=1052 context=from-internal app=Dial
    3.1 start     {second} 3 num=1052 context=from-internal
    8   answer    {second} 3
    8   enter     {second} 3
    8   enter     Local/1051@cti-a1;1 0 peer={second}
    30  hangup    {second} 3 cause=16
    30  end       {second} 3
    30  end       Local/1051@cti-a1;1 0
    30  end       Local/1051@cti-a1;2 1
    30  hangup    {first}  2 cause=16
    30  end       {first}  2
    30  over      {first}  2
"""


@pytest.mark.parametrize("context", ["cti", "from-internal"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("PJSIP/1051-b1", "PJSIP/1052-b2"), ("SIP/1051-0a", "SCCP/1052-0b"), ("PJSIP/xfloi61j-01", "PJSIP/cul113qn-02")],
)
def test_inside_the_other_one_answers(first: str, second: str, context: str) -> None:
    call = outcome(TABLE.format(first=first, second=second, context=context))
    assert (call.direction, call.caller, call.called, call.answered_by) == ("internal", "1051", "1052", "1052")
