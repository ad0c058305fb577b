"""Calls of which no row of the channel that began them is there: a database refused them, or lost them."""

import pytest

from streams.rows.row import CelRow
from tests.calls.tables import cel, outcome

TRUNK, PHONE = "PJSIP/carrier-01", "PJSIP/1001-02"
ANSWERED = f"""
    0  start  {TRUNK} 0 num=79161234567 exten=74951001001 context=from-trunk
    0  start  Local/1001@from-queue-01;1 3 num=1001 context=from-queue
    0  start  Local/1001@from-queue-01;2 4 num=1001 context=from-queue
    1  start  {PHONE} 1 num=1001 context=from-internal
    4  answer {PHONE} 1
    4  enter  {PHONE} 1
    4  enter  {TRUNK} 0 peer={PHONE}
    9  exit   {TRUNK} 0 peer={PHONE}
    9  exit   {PHONE} 1 {{peer}}
    9  hangup {PHONE} 1 cause=16
    9  end    {PHONE} 1
    9  end    Local/1001@from-queue-01;1 3
    9  end    Local/1001@from-queue-01;2 4
    9  hangup {TRUNK} 0 cause=16/ANSWER
    9  end    {TRUNK} 0
    9  over   {PHONE} 1
"""
MISSED = """
    0  start  SIP/7001-01 0 num=7001 exten=7002 context=users
    1  start  SIP/7002-02 1 num=7002 context=users
    9  hangup SIP/7002-02 1 cause=16
    9  end    SIP/7002-02 1
    9  hangup SIP/7001-01 0 cause=16/NOANSWER
    9  end    SIP/7001-01 0
"""


def without(table: str, channel: str) -> list[CelRow]:
    return [row for row in cel(table) if row.channame != channel]


@pytest.mark.parametrize(("table", "caller"), [(ANSWERED.format(peer=""), TRUNK), (MISSED, "SIP/7001-01")])
def test_a_call_without_its_callers_rows_is_not_told_as_whole(table: str, caller: str) -> None:
    assert outcome(cel(table)).warnings == ()
    call = outcome(without(table, caller))
    assert (call.direction, call.client, call.result, call.complete) == ("unknown", None, 0, False)
    assert call.warnings == ("caller_rows_missing",)
    assert call.incomplete_reason == "the rows of the channel that began it are missing"


def test_who_answered_is_told_by_the_rows_that_are_there() -> None:
    call = outcome(without(ANSWERED.format(peer=f"peer={TRUNK}"), TRUNK))
    assert (call.answered, call.answered_by, call.extension) == (True, "1001", "1001")
    assert call.why[1] == (
        "answered: a person's channel was in a bridge with another person's; the caller's rows are missing"
    )
    assert call.warnings == ("caller_rows_missing",)


def test_a_channel_that_came_first_and_a_table_without_starts_miss_nothing() -> None:
    late = [row for row in cel(MISSED) if row.eventtype != "CHAN_START"]
    assert "caller_rows_missing" not in outcome([row for row in late if row.channame != "SIP/7001-01"]).warnings
    reordered = cel(MISSED.replace("0  start  SIP/7001-01 0", "0  start  SIP/7001-01 9"), linkedid="1795389780.9")
    assert "caller_rows_missing" not in outcome(reordered).warnings
