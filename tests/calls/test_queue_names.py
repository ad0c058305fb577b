"""The queue that a call was in last: `queue` of a result."""

from pathlib import Path

import pytest

from deploy.demo.recordings import RECORDINGS
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.truth import classify_case, read_cases
from tests.calls.tables import RULES, outcome

CALLER = "PJSIP/trunk1-00000001"
BEGINS = f"""
0 start     {CALLER} 0 num=79161234567 exten=74951001001 context=from-trunk
"""
ENDS = f"""
90 hangup   {CALLER} 0 cause=16
90 end      {CALLER} 0
90 over     {CALLER} 0
"""


def queue_of(rows: str) -> str | None:
    return outcome(BEGINS + rows + ENDS).queue


def test_recorded_calls_name_the_queue_that_they_were_in() -> None:
    """By the names of the cases and the dialplan that was recorded: 702 is the linear queue, 703 has no members."""
    told = {
        case["case"]: {result.queue for result in classify_case(case, RULES, PbxProfile()) if result.queue}
        for case in read_cases(Path(RECORDINGS))
    }
    named = {name: queues for name, queues in told.items() if queues}
    other = {
        "inbound_queue_linear_decline_then_answer": {"q702"},
        "inbound_queue_empty": {"q703"},
        "inbound_queue_timeout_then_dial_noanswer": {"q702"},
    }
    assert named == {name: other.get(name, {"q700"}) for name in told if "queue" in name}
    assert len(named) == 16


def test_the_last_one_of_several() -> None:
    rows = f"""
    1  app_start {CALLER} 0 app=Queue appdata=sales,tT,,,12
    20 app_end   {CALLER} 0 app=Queue appdata=sales,tT,,,12
    20 app_start {CALLER} 0 app=Queue appdata=support
    60 app_end   {CALLER} 0 app=Queue appdata=support
    60 app_start {CALLER} 0 app=VoiceMail appdata=1001
    """
    assert queue_of(rows) == "support"


def test_where_no_application_is_logged_its_name_stands_on_other_rows() -> None:
    assert queue_of(f"10 enter {CALLER} 0 app=Queue appdata=sales,tT peer=PJSIP/1001-02") == "sales"


def test_a_queue_behind_a_local_channel() -> None:
    local = "Local/700@from-internal-00000001"
    rows = f"""
    1 app_start {CALLER}  0 app=Dial appdata=Local/700@from-internal/n
    1 start     {local};1 1 exten=700 context=from-internal
    1 start     {local};2 2 exten=700 context=from-internal
    2 app_start {local};2 2 app=Queue appdata=sales,tT
    """
    assert queue_of(rows) == "sales"


def test_a_queue_that_a_colleague_was_asked_in_is_not_the_callers() -> None:
    colleague = "PJSIP/1001-00000002"
    rows = f"""
    1  app_start {CALLER}    0 app=Queue appdata=sales,tT
    30 start     {colleague} 1 num=1001 exten=701 context=from-internal
    31 app_start {colleague} 1 app=Queue appdata=support
    """
    assert queue_of(rows) == "sales"


@pytest.mark.parametrize(
    ("data", "name"),
    [("sales", "sales"), ("sales|tT|||60", "sales"), ("700,t,,,", "700"), (",t", None), ("", None)],
)
def test_how_the_name_is_written(data: str, name: str | None) -> None:
    assert queue_of(f"1 app_start {CALLER} 0 app=Queue appdata={data}") == name


def test_a_call_that_was_in_none() -> None:
    assert queue_of(f"1 app_start {CALLER} 0 app=Dial appdata=PJSIP/1001,30") is None
