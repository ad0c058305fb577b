"""`cel2crm classify` as a person or a script calls it."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.recordings import RECORDINGS
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify import command
from streams.crm.webhook.steps import body_of
from streams.rows.files import RowSource
from streams.rows.row import RowDecoder
from tests.calls.tables import RULES
from tests.cli.commands import Done, run

CASES = [json.loads(line) for line in RECORDINGS.read_text(encoding="utf-8").splitlines()]
ROWS = sorted((row for case in CASES[:40] for row in case["cel"]), key=lambda row: int(row["id"]))
COLUMNS = list(ROWS[0])
MEMBERS = {
    "linkedid", "direction", "answered", "answered_by", "talked_with", "caller", "called", "result", "hangup_cause",
    "dial_status", "extra_usable", "complete", "bitrix24", "kommo", "part_of", "why",
}  # fmt: skip


def classify(*arguments: str, given: bytes = b"") -> Done:
    return run("classify", *arguments, given=given)


def outcomes(done: Done, status: int = 0) -> dict[str, dict[str, object]]:
    assert done.status == status, done.stderr
    return {each["linkedid"]: each for each in map(json.loads, done.stdout.splitlines())}


def as_csv(delimiter: str = ",", without: str = "") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [each for each in COLUMNS if each != without], delimiter=delimiter, extrasaction="ignore"
    )
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def as_batch() -> bytes:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")

    lines = ["\t".join(COLUMNS), *("\t".join(escaped(row[column]) for column in COLUMNS) for row in ROWS)]
    return "\n".join(lines).encode() + b"\n"


def as_drawn(*, frame: bool) -> bytes:
    """A table with padded cells between bars, in a frame (mysql) or with a count below (psql)."""
    columns = list(ROWS[0])
    width = {column: max(len(column), *(len(row[column]) for row in ROWS)) for column in columns}
    rule = "+".join("-" * (width[column] + 2) for column in columns)
    lines = [" | ".join(row[column].ljust(width[column]) for column in columns) for row in ROWS]
    head = " | ".join(column.ljust(width[column]) for column in columns)
    if frame:
        drawn = [f"+{rule}+", f"| {head} |", f"+{rule}+", *(f"| {line} |" for line in lines), f"+{rule}+"]
    else:
        drawn = [f" {head}", rule, *(f" {line}" for line in lines), f"({len(lines)} rows)"]
    return "\n".join(drawn).encode() + b"\n"


def as_json_lines() -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, object]]:
    return outcomes(classify("--json", given=as_json_lines()))


def test_each_call_is_one_json_object_with_the_promised_members(expected: dict[str, dict[str, object]]) -> None:
    assert set(expected) == {row["linkedid"] for row in ROWS}
    for each in expected.values():
        assert set(each) >= MEMBERS
        assert each["why"]


@pytest.mark.parametrize(
    "given",
    [
        *(as_csv(), as_csv(";"), b"\xef\xbb\xbf" + as_csv(), as_csv("\t"), as_batch(), as_json_lines()),
        *(as_drawn(frame=True), as_drawn(frame=False)),
    ],
    ids=[
        *("csv", "semicolons", "with a byte order mark", "tabs", "mysql --batch", "JSON Lines"),
        *("mysql on a terminal", "psql on a terminal"),
    ],
)
def test_every_export_gives_the_same_outcomes(given: bytes, expected: dict[str, dict[str, object]]) -> None:
    assert outcomes(classify("--json", given=given)) == expected


def test_without_ids_the_order_of_the_file_counts(expected: dict[str, dict[str, object]]) -> None:
    found = outcomes(classify("--json", given=as_csv(without="id")))
    assert {linkedid: (each["result"], each["answered"]) for linkedid, each in found.items()} == {
        linkedid: (each["result"], each["answered"]) for linkedid, each in expected.items()
    }


def test_recorded_cases_agree_with_their_truth_but_for_one_label() -> None:
    done = classify("--truth", str(RECORDINGS))
    assert done.status == 1
    assert "1 disagree" in done.stdout
    assert "sipp_outbound_answered" in done.stdout


def test_the_table_is_for_people() -> None:
    shown = classify(given=as_json_lines()).stdout
    assert "answered by" in shown
    assert ROWS[0]["linkedid"] in shown


def test_unreadable_rows_are_told_and_passed_over(expected: dict[str, dict[str, object]]) -> None:
    done = classify("--json", given=b'{"id":1}\n' + as_json_lines() + b"rubbish\n")
    assert outcomes(done, status=1) == expected
    assert "2 rows could not be read" in done.stderr
    assert "line 1: column eventtype is missing" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (["/nowhere.csv"], b"", "cannot read /nowhere.csv: No such file or directory"),
        ([], b"a,b\n1,2\n", "names no column linkedid"),
        (["--settings", "/nowhere.yaml"], b"", "cannot read the settings file"),
        (["--since", "yesterday"], b"", "--since 'yesterday' is neither the id of a row nor a time"),
        (["--until", "2026-11-22T23:00:00+03:00"], b"", "neither the id of a row nor a time without a zone"),
        (["mysql://u@h/d", "rows.csv"], b"", "a database is read alone"),
        (["--truth", "mysql://u@h/d"], b"", "--truth needs a file of recorded cases"),
    ],
)
def test_mistakes_end_with_one_message_and_status_2(arguments: list[str], given: bytes, told: str) -> None:
    done = classify(*arguments, given=given)
    assert done.status == 2
    assert told in done.stderr


def test_a_process_ends_with_the_message_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", "classify", "/nowhere.csv"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == b"cel2crm: cannot read /nowhere.csv: No such file or directory\n"


def test_a_window_takes_whole_calls_by_their_beginning() -> None:
    first = {linkedid: int(rows[0]["id"]) for linkedid, rows in _by_call().items()}
    since, until = sorted(first.values())[10], sorted(first.values())[20]
    inside = {linkedid for linkedid, row_id in first.items() if since <= row_id < until}
    found = outcomes(classify("--json", "--since", str(since), "--until", str(until), given=as_json_lines()))
    assert set(found) == inside
    assert found == {
        key: each for key, each in outcomes(classify("--json", given=as_json_lines())).items() if key in inside
    }


def _by_call() -> dict[str, list[dict[str, str]]]:
    calls: dict[str, list[dict[str, str]]] = {}
    for row in ROWS:
        calls.setdefault(row["linkedid"], []).append(row)
    return calls


def test_the_alias_reminds_that_details_are_given_away(tmp_path: Path) -> None:
    settings = tmp_path / "s.yaml"
    settings.write_text("database: {column_name_aliases: {cel_extra: id}}\n", encoding="utf-8")
    done = classify("--json", "-s", str(settings), given=as_json_lines())
    assert {each["result"] for each in outcomes(done).values()} == {0}
    assert "details are given away" in done.stderr


@pytest.mark.slow  # starts processes
def test_several_processes_tell_the_same_in_the_same_order(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    odd = b'{"id": 999999}\n{broken\n\n{"id":"x","linkedid":"1.1","eventtype":"HANGUP","eventtime":"2026-11-22"}\n'
    listed = json.dumps({**ROWS[0], "id": 10**6, "cid_num": ["a", "list"]}).encode() + b"\n"
    file.write_bytes(as_json_lines() + odd + listed)
    command = [sys.executable, "-m", "streams.cli.main", "classify", "--json", str(file), "--jobs"]
    one, two = (
        subprocess.run([*command, jobs], capture_output=True, check=False, timeout=60, cwd=tmp_path) for jobs in "12"
    )
    assert (two.returncode, one.returncode) == (1, 1)
    assert two.stdout == one.stdout
    assert sorted(two.stderr.splitlines()) == sorted(one.stderr.splitlines())
    assert b"4 rows could not be read" in one.stderr


def test_one_json_form_for_classify_explain_and_webhook(expected: dict[str, dict[str, object]], tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(as_json_lines())
    linkedid, told = next((key, each) for key, each in expected.items() if each["answered"])
    explained = json.loads(run("explain", linkedid, str(file), "--json").stdout)
    assert {name: explained[name] for name in told} == told
    rows = list(RowSource(RowDecoder(), lambda _line: None).rows(file))
    result = next(each for each in OfflineClassifier(RULES, PbxProfile()).classify(rows) if each.linkedid == linkedid)
    data = json.loads(body_of(result))["data"]
    assert {name: told[name] for name in data if name != "rules_hash"} == {
        name: value for name, value in data.items() if name != "rules_hash"
    }
    assert set(told) - set(data) == {"bitrix24", "kommo"}
    assert re.fullmatch(r"2026-11-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(told["started_at"]))


def test_a_long_table_begins_anew_after_some_calls_and_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_CALLS_OF_A_TABLE", 7)
    shown = classify(given=as_csv()).stdout
    linkedids = {str(row["linkedid"]) for row in ROWS}
    assert all(shown.count(f" {each} ") == 1 for each in linkedids)
    assert shown.count("linkedid") == -(-len(linkedids) // 7)
    assert "linkedid" in classify(given=as_csv().splitlines(keepends=True)[0]).stdout  # no call: the head alone
