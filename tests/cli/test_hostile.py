"""What a caller chose reaches the terminal, the spreadsheet and the page of whoever looks at calls as text alone."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.table import outcome_table
from streams.clock import MICROS_PER_SECOND
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.delivery.answers import RetryLater, Succeeded
from streams.delivery.events import Due
from streams.delivery.machine import advance
from streams.delivery.record import Delivery, State
from streams.printable import csv_cell, printable, printable_json, printable_lines
from streams.rows.row import RowDecoder
from tests.calls.tables import RULES
from tests.cli.commands import as_process, run
from tests.cli.hostile import HOSTILE, hostile_calls, unsafe
from tests.crm.calls import POLICY
from tests.delivery.test_machine import answered
from tests.delivery.test_machine import run as delivered
from tests.operations.conftest import operator, tree  # noqa: F401 - fixtures
from tests.operations.memory import Operator

CALLS = hostile_calls()
VALUES = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hostile") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for rows in CALLS.values() for row in rows), encoding="utf-8")
    return file


@VALUES
def test_text_is_shown_on_one_line_and_nothing_is_obeyed(text: str) -> None:
    assert unsafe(printable(text)) == "" and "\n" not in printable(text)
    assert unsafe(printable_lines(text)) == ""


@VALUES
def test_json_stays_the_same_document(text: str) -> None:
    encoded = json.dumps({"a": text}, ensure_ascii=False).encode()
    assert json.loads(printable_json(encoded)) == {"a": text}
    assert unsafe(printable_json(encoded).decode()) == ""


@VALUES
def test_a_spreadsheet_calculates_nothing(text: str) -> None:
    cell = str(csv_cell(text))
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r")


def test_numbers_and_words_stay_as_they_are_in_a_spreadsheet() -> None:
    values = [19, None, "+79161234567", "-5", "Success", ""]
    assert [csv_cell(value) for value in values] == values


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["table", "json"])
def test_classify(arguments: list[str], lines: Path) -> None:
    done = run("classify", *arguments, str(lines))
    assert done.status == 0, done.stderr
    assert unsafe(done.stdout + done.stderr) == ""
    if arguments:
        told = {call["linkedid"]: call["caller"] for call in map(json.loads, done.stdout.splitlines())}
        assert len(told) == len(HOSTILE)
    else:
        assert all(linkedid in done.stdout for linkedid in CALLS)
        assert "7[/b]" in done.stdout and "[link=http://evil" in done.stdout


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 180])
def test_the_table_at_any_width(width: int) -> None:
    rows = [RowDecoder().from_columns(row) for rows in CALLS.values() for row in rows]
    table = outcome_table(OfflineClassifier(RULES, PbxProfile()).classify(rows), RULES, width)
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(table)
    assert unsafe(out.getvalue()) == ""
    assert all(linkedid in out.getvalue() for linkedid in CALLS)


@pytest.mark.parametrize("linkedid", CALLS, ids=list(HOSTILE))
def test_explain_and_capture(linkedid: str, lines: Path) -> None:
    for command in (["explain"], ["explain", "--json"], ["capture"]):
        done = run(*command, linkedid, str(lines))
        assert done.status == 0, done.stderr
        assert unsafe(done.stdout + done.stderr) == ""
        if command == ["explain"]:
            forged = [line for line in done.stdout.splitlines() if line.startswith("Call pbx1/")]
            assert len(forged) == 1


def test_a_comparison_of_rules(lines: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text('directions:\n  - {endpoint: "*", side: outside}\n', encoding="utf-8")
    for arguments in ([], ["--json"]):
        done = run("classify", str(lines), "--rules", str(rules), "--compare", *arguments)
        assert done.status == 0, done.stderr
        assert "would be told differently" in done.stderr
        assert unsafe(done.stdout + done.stderr) == ""


def test_the_truth_of_hostile_cases(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    cases = [
        {"case": text, "cel": rows, "direction": "outbound", "human_answered": True, "who_answered": text}
        for text, rows in zip(HOSTILE.values(), CALLS.values(), strict=True)
    ]
    file.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    done = run("classify", "--truth", str(file))
    assert done.status == 1
    assert unsafe(done.stdout + done.stderr) == ""


@VALUES
def test_headers_and_names_of_files_in_messages(text: str, tmp_path: Path) -> None:
    file = tmp_path / (text.replace("/", "_").replace("\0", "")[:60] or "x")
    file.write_text(f'"{text}","b"\n1,2\n'.replace("\n1", "\n1"), encoding="utf-8")
    for arguments in (["classify", str(file)], ["explain", text, str(file)], ["classify", str(file) + "?"]):
        done = as_process(*arguments)
        assert done.status == 2
        assert unsafe(done.stdout + done.stderr) == ""


@VALUES
def test_rules(text: str, tmp_path: Path) -> None:
    file = tmp_path / (text.replace("/", "_")[:60] + ".yaml")
    good = {"texts": {"missed_call": text.replace("\n", " ")}} if text.isprintable() else {"texts": {}}
    file.write_text(json.dumps(good), encoding="utf-8")
    for arguments in (
        ["rules", "check", str(file)], ["rules", "show", "--rules", str(file)], ["rules", "diff", str(file)],
        ["rules", "show", "matrix", "--rules", str(file)],
    ):  # fmt: skip
        done = as_process(*arguments)
        assert unsafe(done.stdout + done.stderr) == ""
        if "matrix" in arguments and done.status == 0:
            cells = [cell for row in csv.reader(io.StringIO(done.stdout)) for cell in row]
            assert not any(cell[:1] in "=@\t\r" for cell in cells if cell)


@VALUES
def test_deliveries(text: str, operator: Operator) -> None:  # noqa: F811
    events = (
        Due(2 * MICROS_PER_SECOND, json.dumps({"PHONE_NUMBER": text})),
        answered(1, RetryLater(text), 3 * MICROS_PER_SECOND),
        Due(90 * MICROS_PER_SECOND, json.dumps({"PHONE_NUMBER": text})),
        answered(2, Succeeded({"CALL_ID": text}), 91 * MICROS_PER_SECOND),
    )
    delivery = delivered().delivery
    for event in events:
        delivery = advance(delivery, event, BITRIX24, POLICY).delivery
    operator.delivery(delivery)
    operator.delivery(
        Delivery(
            call_id="pbx1/2.2", crm="kommo", portal="sales", state=State.PAUSED, step="call", queued_at=1, reason=text
        )
    )
    for arguments in (["deliveries"], ["deliveries", "--json"], ["deliveries", "1.1"], ["deliveries", "1.1", "--json"],
                      ["deliveries", "2.2"], ["portal", "status"], ["portal", "status", "--json"]):  # fmt: skip
        done = operator.run(*arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert unsafe(done.stdout + done.stderr) == ""


@VALUES
def test_dead_letters(text: str, operator: Operator) -> None:  # noqa: F811
    value = json.dumps({"id": 7, "eventtype": "CHAN_END", "linkedid": "1.1", "cid_num": text}).encode()
    record = {
        "key": text.encode(), "value": value, "headers": [{"name": text, "value": text.encode()}],
        "topic": "cel2crm.cel", "partition": 2, "offset": 5, "timestamp": None, "component": "aggregate",
        "reason": "unreadable_row", "explanation": f"column cid_num: {text}", "failed_at": 10 * MICROS_PER_SECOND,
        "call_id": "pbx1/1.1", "portal": None,
    }  # fmt: skip
    operator.put("dead-letters", "dead_letter", "pbx1/1.1", record)
    for arguments in (["list"], ["list", "--calls"], ["list", "--json"], ["show", "1.1"], ["show", "1.1", "--json"],
                      ["retry", "--yes", "--by", "me"]):  # fmt: skip
        done = operator.run("dead-letters", *arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert unsafe(done.stdout + done.stderr) == ""


@VALUES
def test_unmatched_extensions(text: str, operator: Operator) -> None:  # noqa: F811
    names: dict[str, Any] = {"unmatched": (text,), "call_ended_at": 10 * MICROS_PER_SECOND}
    operator.delivery(Delivery(call_id="pbx1/1.1", crm="bitrix24", portal="main", state=State.DELIVERED, **names))
    for arguments in (["main"], ["main", "--json"]):
        assert unsafe(operator.told("portal", "unmatched", *arguments)) == ""
