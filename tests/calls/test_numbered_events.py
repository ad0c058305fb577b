"""Tables whose column `eventtype` is a number: Asterisk stores its enum there, and 1.8 to 11 number otherwise."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from streams.calls.result import CallResult
from streams.rows.row import COLUMNS, CelRow, RowDecoder
from tests.calls.tables import cel, folded, outcome

MODERN = {
    "CHAN_START": 1, "CHAN_END": 2, "HANGUP": 3, "ANSWER": 4, "APP_START": 5, "APP_END": 6, "BRIDGE_ENTER": 7,
    "BRIDGE_EXIT": 8, "PARK_START": 9, "PARK_END": 10, "BLINDTRANSFER": 11, "ATTENDEDTRANSFER": 12, "USER_DEFINED": 13,
    "LINKEDID_END": 14, "PICKUP": 15, "FORWARD": 16, "LOCAL_OPTIMIZE": 17, "LOCAL_OPTIMIZE_BEGIN": 18,
    "STREAM_BEGIN": 19, "STREAM_END": 20, "DTMF": 21,
}  # fmt: skip
OLD = MODERN | {
    "BRIDGE_START": 7, "BRIDGE_END": 8, "PARK_START": 11, "PARK_END": 12, "BLINDTRANSFER": 13, "ATTENDEDTRANSFER": 14,
    "USER_DEFINED": 21, "LINKEDID_END": 22, "BRIDGE_UPDATE": 23, "PICKUP": 24, "FORWARD": 25,
}  # fmt: skip

TRANSFERRED = """
    0  start         PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
    0  app_start     PJSIP/carrier-03 0 num=79161234567 exten=400 context=ext-queues app=Queue appdata=400
    0  stream_begin  PJSIP/carrier-03 0 extra={"class":"default"}
    1  start         PJSIP/1001-04     1 num=1001 context=from-internal
    2  stream_end    PJSIP/carrier-03 0
    2  answer        PJSIP/1001-04     1
    2  answer        PJSIP/carrier-03  0
    2  enter         PJSIP/1001-04     1 extra={"bridge_id":"a","bridge_technology":"simple_bridge"}
    2  enter         PJSIP/carrier-03  0 peer=PJSIP/1001-04
    4  dtmf          PJSIP/1001-04     1 extra={"digit":"1","duration_ms":100}
    4  user_defined  PJSIP/carrier-03  0 userdeftype=SURVEY extra={"extra":"5"}
    5  blindtransfer PJSIP/1001-04     1 extra={"extension":"1002","transferee_channel_uniqueid":"@0"}
    5  exit          PJSIP/1001-04     1 peer=PJSIP/carrier-03
    5  hangup        PJSIP/1001-04     1 cause=16
    5  end           PJSIP/1001-04     1
    5  exit          PJSIP/carrier-03  0
    5  start         PJSIP/1002-05     2 num=1002 context=from-internal
    9  hangup        PJSIP/1002-05     2 cause=17
    9  end           PJSIP/1002-05     2
    9  hangup        PJSIP/carrier-03  0 cause=17/ANSWER
    9  end           PJSIP/carrier-03  0
    9  over          PJSIP/carrier-03  0
"""
BEFORE_12 = """
    0  start         SIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
    0  start         SIP/1001-04    1 num=1001 context=from-internal
    2  answer        SIP/1001-04    1
    2  answer        SIP/carrier-03 0
    2  bridge_start  SIP/carrier-03 0 peer=SIP/1001-04
    3  bridge_update SIP/carrier-03 0 peer=SIP/1001-04
    4  user_defined  SIP/carrier-03 0 userdeftype=SURVEY peer=SIP/1001-04
    5  blindtransfer SIP/1001-04    1 extra=1002 peer=SIP/carrier-03
    5  bridge_end    SIP/carrier-03 0 peer=SIP/1001-04
    5  hangup        SIP/1001-04    1
    5  end           SIP/1001-04    1
    5  start         SIP/1002-05    2 num=1002 context=from-internal
    6  pickup        SIP/1002-05    2 peer=SIP/1003-06
    7  answer        SIP/1002-05    2
    7  bridge_start  SIP/carrier-03 0 peer=SIP/1002-05
    9  bridge_end    SIP/carrier-03 0 peer=SIP/1002-05
    9  hangup        SIP/1002-05    2
    9  end           SIP/1002-05    2
    9  hangup        SIP/carrier-03 0
    9  end           SIP/carrier-03 0
    9  over          SIP/carrier-03 0
"""


def _live(columns: dict[str, Any]) -> CelRow:
    return RowDecoder().decode(json.dumps(columns).encode())


def _from_cells(columns: dict[str, Any]) -> CelRow:
    return RowDecoder().from_short_cells(list(columns))([str(value) for value in columns.values()])


def _from_columns(columns: dict[str, Any]) -> CelRow:
    return RowDecoder().from_columns(columns)


def _numbered(rows: list[CelRow], numbers: dict[str, int], spelled: Callable[[int], Any]) -> list[dict[str, Any]]:
    return [
        {name: getattr(row, name) for name in COLUMNS} | {"eventtype": spelled(numbers[row.eventtype])} for row in rows
    ]


def _told(result: CallResult) -> CallResult:
    return msgspec.structs.replace(result, outcome_hash="")


@pytest.mark.parametrize("read", [_live, _from_cells, _from_columns])
@pytest.mark.parametrize("spelled", [int, str, float, "{:.6f}".format], ids=["int", "text", "float", "six decimals"])
@pytest.mark.parametrize(("table", "numbers"), [(TRANSFERRED, MODERN), (BEFORE_12, OLD)], ids=["22", "11"])
def test_numbers_tell_what_names_tell(
    table: str, numbers: dict[str, int], spelled: Callable[[int], Any], read: Callable[[dict[str, Any]], CelRow]
) -> None:
    rows = cel(table)
    by_name, by_number = outcome(rows), outcome([read(row) for row in _numbered(rows, numbers, spelled)])
    assert by_name.answered
    assert by_name.transfers == ("1001 transferred to 1002",)
    assert _told(by_number) == _told(by_name)


@pytest.mark.parametrize(("table", "numbers"), [(TRANSFERRED, MODERN), (BEFORE_12, OLD)], ids=["22", "11"])
def test_a_live_call_ends_with_the_number_of_its_end(table: str, numbers: dict[str, int]) -> None:
    rows = [_live(columns) for columns in _numbered(cel(table), numbers, int)]
    assert not folded(rows[:-1]).linkedid_end
    assert folded(rows).linkedid_end


@pytest.mark.parametrize("number", [11, 12, 13, 0, 26, 99])
def test_a_number_that_cannot_be_told_warns(number: int) -> None:
    rows = _numbered(cel(TRANSFERRED), MODERN, int)
    rows.insert(-3, rows[0] | {"id": 500, "eventtype": number})
    for later, each in enumerate(rows[-3:]):
        each["id"] = 501 + later
    call = outcome([_live(columns) for columns in rows])
    assert "event_unknown" in call.warnings
    assert call.answered


def test_a_dialplans_event_with_a_number_for_its_name_stays_its_own() -> None:
    row = _live({"id": 1, "eventtype": "14", "eventtime": "x", "linkedid": "1.1", "userdeftype": "14"})
    assert row.eventtype == "14"


def test_names_that_begin_with_a_digit_stay() -> None:
    for name in ("3WAY_START", "1st", "007", "14th", "1.5", "-1"):
        assert _live({"id": 1, "eventtype": name, "eventtime": "x", "linkedid": "1.1"}).eventtype == name
