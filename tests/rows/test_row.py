"""Rows as Debezium delivers them, and rows that are none."""

import json
from typing import Any

import pytest

from streams.errors import UnreadableRow
from streams.rows.eventtime import wall_micros
from streams.rows.row import TEXT_LIMIT, CapturedRow, RowDecoder

ROW: dict[str, Any] = {
    "id": 7, "eventtype": "HANGUP", "eventtime": "2026-11-22T23:23:00Z", "cid_name": "", "cid_num": "1001",
    "exten": "s", "context": "from-internal", "channame": "PJSIP/1001-01", "appname": "", "appdata": "", "amaflags": 3,
    "accountcode": "", "uniqueid": "1795389780.1", "linkedid": "1795389780.0", "peer": "", "userdeftype": "",
    "extra": "{}", "userfield": "", "__op": "c", "__source_ts_ms": 1795389781000, "__source_snapshot": None,
    "__source_name": "pbx9",
}  # fmt: skip


def decoded(aliases: dict[str, str] | None = None, **changes: Any) -> CapturedRow:
    return RowDecoder(aliases).decode(json.dumps({**ROW, **changes}).encode())


def test_a_row_carries_its_columns_and_what_the_capture_says() -> None:
    row = decoded()
    assert (row.id, row.eventtype, row.cid_num, row.linkedid) == (7, "HANGUP", "1001", "1795389780.0")
    assert (row.op, row.commit_ms, row.pbx) == ("c", 1795389781000, "pbx9")


def test_columns_may_have_other_names() -> None:
    row = decoded({"cel_extra": "eventextra", "cel_id": "row"}, eventextra='{"a":1}', row="12")
    assert (row.extra, row.id) == ('{"a":1}', 12)


def test_extra_read_from_id_is_the_id() -> None:
    assert decoded({"cel_extra": "id"}).extra == "7"


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"id": "7"}, "id", 7),
        ({"cid_num": None}, "cid_num", ""),
        ({"cid_num": 1001}, "cid_num", "1001"),
        ({"extra": {"hangupcause": 16}}, "extra", '{"hangupcause":16}'),
        ({"uniqueid": ""}, "uniqueid", "1795389780.0"),
        ({"__source_name": None}, "pbx", "pbx1"),
        ({"extra": "x" * 1_000_000}, "extra", "x" * TEXT_LIMIT),
        ({"linkedid": "pbx/1-é" * 20}, "linkedid", "pbx/1-é" * 20),
    ],
)
def test_odd_values_are_read(changes: dict[str, Any], column: str, value: object) -> None:
    assert getattr(decoded(**changes), column) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"id":NaN}', "not JSON"),
        (json.dumps({**ROW, "id": None}).encode(), "column id"),
        (json.dumps({**ROW, "id": -1}).encode(), "column id"),
        (json.dumps({**ROW, "id": 1 << 70}).encode(), "column id"),
        (json.dumps({**ROW, "id": 1.5}).encode(), "column id"),
        (json.dumps({**ROW, "linkedid": ""}).encode(), "column linkedid"),
        (json.dumps({**ROW, "eventtype": None}).encode(), "column eventtype"),
        (json.dumps({**ROW, "channame": ["x"]}).encode(), "column channame"),
        (json.dumps({**ROW, "__source_ts_ms": "soon"}).encode(), "__source_ts_ms"),
    ],
)
def test_what_is_no_row_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(UnreadableRow, match=reason):
        RowDecoder().decode(value)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-11-22 23:23:00", 1795389780_000000),
        ("2026-11-22 23:23:00.5", 1795389780_500000),
        ("2026-11-22T23:23:00.659643Z", 1795389780_659643),
        ("2026-11-23 02:23:00+03", 1795389780_000000),
        ("1795389780.25", 1795389780_250000),
        ("1795389780250", 1795389780_250000),
        ("1795389780250000", 1795389780_250000),
        ("", None),
        ("yesterday", None),
        ("0000-00-00 00:00:00", None),
        ("9999-12-31 23:59:59", None),
        ("NaN", None),
    ],
)
def test_eventtime_in_every_spelling(text: str, micros: int | None) -> None:
    assert wall_micros(text) == micros
