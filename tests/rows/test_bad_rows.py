"""Whatever stands in a row: the old way or an unreadable row, as fits; never an exception."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.command_line import command_line
from streams.errors import UnreadableRow
from streams.rows.row import COLUMNS, CapturedRow, RowDecoder
from streams.rules.results import RESULT_NAMES
from tests.calls.tables import RULES, folded
from tests.rows.bad_rows import CALL, DAMAGED, EVERY_BAD, LINKEDIDS, Bad, damaged

LINKEDID = str(CALL[0]["linkedid"])
IN_CELLS = [
    bad
    for bad in EVERY_BAD
    if bad.raw is None
    and not any(isinstance(value, dict | list) or "\0" in str(value) for value in bad.columns.values())
]
"""What a table's cells can hold; NULs are dropped there."""


def read(records: list[bytes], decoder: RowDecoder) -> tuple[list[CapturedRow], list[str]]:
    rows, reasons = [], []
    for record in records:
        try:
            rows.append(decoder.decode(record))
        except UnreadableRow as error:
            reasons.append(str(error))
    return rows, reasons


def outcome_of(rows: list[CapturedRow]) -> CallResult:
    return classify(folded(rows), RULES, PbxProfile()).result


@pytest.mark.parametrize("aliases", [None, {"cel_userdeftype": "userdeftype2"}], ids=["as named", "with an alias"])
@pytest.mark.parametrize("bad", EVERY_BAD, ids=lambda bad: bad.name)
def test_bad_row_is_classified_with_two_statuses_or_named_unreadable(bad: Bad, aliases: dict[str, str] | None) -> None:
    rows, reasons = read(damaged(bad, LINKEDID), RowDecoder(aliases))
    result = outcome_of([row for row in rows if row.linkedid == LINKEDID])
    assert (result.result, len(reasons)) == (bad.result or 0, 0 if bad.result is not None else 1)
    assert not result.answered
    assert all(reasons)


@pytest.mark.parametrize("linkedid", LINKEDIDS.values(), ids=LINKEDIDS)
def test_any_linkedid_names_its_call(linkedid: str) -> None:
    rows, reasons = read(damaged(Bad("", None), linkedid), RowDecoder())
    result = outcome_of(rows)
    assert (result.linkedid, result.call_id, result.result, reasons) == (linkedid, f"pbx1/{linkedid}", 480, [])
    snapshot = folded(rows).to_bytes()
    assert Call.from_bytes(snapshot).to_bytes() == snapshot


def classified(given: bytes) -> tuple[Result, dict[str, dict[str, Any]]]:
    done = CliRunner().invoke(command_line(), ["classify", "--json"], input=given, catch_exceptions=False)
    assert done.exit_code in (0, 1)  # 1: some rows could not be read
    return done, {each["linkedid"]: each for each in map(json.loads, done.stdout.splitlines())}


def test_json_lines_of_all_bad_rows_give_every_call_its_outcome() -> None:
    named = {f"{number}-{LINKEDID}": bad for number, bad in enumerate(EVERY_BAD)}
    lines = [line for linkedid, bad in named.items() for line in damaged(bad, linkedid)]
    done, outcomes = classified(b"\n".join(lines) + b"\n")
    assert {linkedid: outcomes[linkedid]["result"] for linkedid in named} == {
        linkedid: bad.result or 0 for linkedid, bad in named.items()
    }
    unreadable = sum(bad.result is None for bad in EVERY_BAD)
    assert f"{unreadable} rows could not be read" in done.stderr


def test_table_of_all_bad_rows_gives_every_call_its_outcome() -> None:
    named = {f"{number}-{LINKEDID}": bad for number, bad in enumerate(IN_CELLS)}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(CALL[0]), extrasaction="ignore")
    writer.writeheader()
    for linkedid, bad in named.items():
        for number, row in enumerate(CALL):
            changed = {**row, "linkedid": linkedid, **(bad.columns if number == DAMAGED else {})}
            writer.writerow({**changed, **(dict.fromkeys(bad.without) if number == DAMAGED else {})})
    _, outcomes = classified(text.getvalue().encode())
    assert {bad.name: outcomes.get(linkedid, {}).get("result") for linkedid, bad in named.items()} == {
        bad.name: bad.result or 0 for bad in named.values()
    }


@pytest.mark.parametrize("linkedid", LINKEDIDS.values(), ids=LINKEDIDS)
def test_any_linkedid_comes_through_json_lines_and_csv(linkedid: str) -> None:
    _, outcomes = classified(b"\n".join(damaged(Bad("", None), linkedid)))
    assert [each["result"] for each in outcomes.values()] == [480]
    assert list(outcomes) == [linkedid]


@pytest.mark.parametrize(
    "given",
    [
        b"\xff\xfe", b"\0", b"{", b"[", b"[]", b"{}\n{}\n", b'{"cel":3}\n', b'{"cel":[3,{}]}\n', b"\n\n", b"   ", b'"',
        b"linkedid\n", b"linkedid\n\xff\n", b'linkedid,eventtype\n"a,b\n', b"linkedid\teventtype\n\\\t\\\n",
        b"linkedid,linkedid\n1,2\n", b"id,linkedid\n1\n1,2,3\n", b"[" * 100_000,
        b'linkedid,eventtype,eventtime\n1,HANGUP,"' + b"x" * (17 << 20),
    ],
    ids=lambda given: repr(given[:30]),
)  # fmt: skip
def test_file_of_anything_is_read_or_refused(given: bytes) -> None:
    done = CliRunner().invoke(command_line(), ["classify", "--json"], input=given)
    assert done.exception is None or type(done.exception).__name__ == "UserError"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["19", "1e9", "0E0", "2.0", "-0", " 7", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


ANY_COLUMN = [*COLUMNS[:-2], "extra", "__op", "__source_ts_ms", "__source_name", "x"]


@given(st.dictionaries(st.sampled_from(ANY_COLUMN), JSON_VALUES))
@example({"id": "0E0"})
@example({"id": "0." + 60 * "0"})
def test_any_json_object_is_a_row_or_unreadable_and_told_alike_by_both_decoders(columns: dict[str, Any]) -> None:
    record = json.dumps({**CALL[DAMAGED], **columns}).encode()
    decoded = []
    for decoder in (RowDecoder(), RowDecoder({"cel_userdeftype": "userdeftype2"})):
        rows, reasons = read([record], decoder)
        assert len(rows) + len(reasons) == 1
        decoded.append([{**msgspec.structs.asdict(row), "userdeftype": ""} for row in rows])
        for row in rows:
            assert outcome_of([row]).result in RESULT_NAMES
    assert decoded[0] == decoded[1]


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_a_row_or_unreadable(value: bytes) -> None:
    rows, reasons = read([value], RowDecoder())
    assert (rows, len(reasons)) == ([], 1)
