"""The columns of cel tables as distributions and Asterisk's own documents make them: what is said of each."""

from typing import Any

import pytest

from connectors.columns import column_refusals, column_warnings
from streams.rows.row import RowDecoder
from streams.settings import DatabaseSettings

_COMMON = "id eventtype eventtime cid_name cid_num cid_ani cid_rdnis cid_dnid exten context channame"
_REST = "appname appdata amaflags accountcode uniqueid linkedid peer userdeftype"
_OLD = f"{_COMMON} src dst channel dstchannel {_REST} eventextra userfield"

LAYOUTS = {
    "FreePBX 13 to 17": f"{_COMMON} {_REST} extra userfield",  # FreePBX/cel, install.php of release/13.0 to 17.0
    "FreePBX to 12, Issabel": _OLD,  # the cdr module's install.php, and IssabelPBX's
    "cel_odbc, extra at the end": f"{_COMMON} {_REST} peeraccount userfield extra",
    "cel_pgsql": f"{_COMMON} {_REST} peeraccount userfield",  # docs.asterisk.org: PostgreSQL CEL Backend
}


@pytest.mark.parametrize(
    ("layout", "database"),
    [
        ("FreePBX 13 to 17", "asteriskcdrdb"),
        ("cel_odbc, extra at the end", "asteriskcdrdb"),
        # VitalPBX: its tables are in `asterisk`; what cel_odbc can fill, since no document has the columns themselves.
        ("cel_odbc, extra at the end", "asterisk"),
    ],
)
def test_a_layout_with_every_column_needs_no_setting(layout: str, database: str) -> None:
    columns, settings = LAYOUTS[layout].split(), DatabaseSettings(name=database)
    assert column_refusals(columns, settings) == column_warnings(columns, settings) == []


def test_what_a_table_of_unknown_make_lacks_is_named_with_its_database() -> None:
    columns, settings = LAYOUTS["cel_pgsql"].replace("linkedid ", "").split(), DatabaseSettings(name="asterisk")
    assert "table asterisk.cel has no column linkedid" in column_refusals(columns, settings)[0]
    assert any("table asterisk.cel has no column extra" in line for line in column_warnings(columns, settings))


def test_the_old_name_of_extra_is_told_with_the_setting_for_it() -> None:
    columns = LAYOUTS["FreePBX to 12, Issabel"].split()
    first, second = column_warnings(columns, DatabaseSettings())
    assert first == (
        "table asteriskcdrdb.cel has no column extra: it has eventextra: "
        "database.column_name_aliases: {cel_extra: eventextra}"
    )
    assert "answered or missed" in second
    aliased = DatabaseSettings(column_name_aliases={"cel_extra": "eventextra"})
    assert column_refusals(columns, aliased) == column_warnings(columns, aliased) == []


def test_the_table_of_asterisks_postgresql_page_lacks_extra_and_is_told() -> None:
    columns, database = LAYOUTS["cel_pgsql"].split(), DatabaseSettings(engine="postgresql")
    assert column_refusals(columns, database) == []
    assert "has no column extra" in column_warnings(columns, database)[0]


def test_a_column_without_which_no_call_is_told_is_named_with_its_other_name() -> None:
    columns = [name if name != "channame" else "channel" for name in LAYOUTS["FreePBX 13 to 17"].split()]
    (line,) = column_refusals(columns, DatabaseSettings())
    assert line.endswith(
        "has no column channame: it has channel: database.column_name_aliases: {cel_channame: channel}"
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_every_layout_are_read(layout: str) -> None:
    names = LAYOUTS[layout].split()
    extra = next((name for name in ("extra", "eventextra") if name in names), None)
    told: dict[str, Any] = {
        **dict.fromkeys(names, ""),
        "id": 7, "eventtype": "ANSWER", "eventtime": "2026-11-24 01:02:03", "uniqueid": "1.1", "linkedid": "1.1",
        "amaflags": 3, **({extra: "{}"} if extra else {}),
    }  # fmt: skip
    assert set(told) == set(names)
    row = RowDecoder({"cel_extra": extra} if extra else {}).from_columns(told)
    assert (row.id, row.eventtype, row.linkedid, row.extra) == (7, "ANSWER", "1.1", "{}" if extra else "")
