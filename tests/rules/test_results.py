"""The result table, all 1,280 combinations, as call-status.md has it."""

from pathlib import Path

import pytest

from streams.rules import load_rules
from streams.rules.results import CAUSES, DIAL_STATUSES, ResultTable
from streams.settings import RuleSettings
from tests.rules.files import refusal


def result_of(table: ResultTable, cause: int, status: str) -> int:
    rule = table.rule(cause, status)
    return rule.result if rule else 0


def by_specification(cause: int, status: str) -> int:
    """Section 2, written again as a person would read it: a row that names the status first."""
    if status == "CANCEL":
        return 480
    if status in {"CHANUNAVAIL", "CONGESTION"}:
        return 500
    if cause in {1, 20}:
        return 200 if status == "ANSWER" else 404
    if cause == 16:
        return {"": 200, "ANSWER": 200, "NOANSWER": 408, "BUSY": 486}.get(status, 0)
    if cause == 44:
        return 200 if status == "ANSWER" else 500
    if cause == 66:
        return 200 if status == "ANSWER" else 405
    alone = {17: 486, 18: 408, 19: 480, 21: 603, 26: 200, 28: 484, 34: 500, 127: 500, 38: 500, 58: 488}
    return alone.get(cause, 0)


def test_table_gives_every_combination_its_result() -> None:
    table = load_rules().results
    assert len(CAUSES) * len(DIAL_STATUSES) == 1280
    different = {
        (cause, status): found
        for cause in CAUSES
        for status in DIAL_STATUSES
        if (found := result_of(table, cause, status)) != by_specification(cause, status)
    }
    assert different == {}


def test_literal_preset_takes_the_first_line_that_fits() -> None:
    literal = load_rules(RuleSettings(preset="literal")).results
    assert result_of(literal, 0, "CANCEL") == 0
    assert result_of(literal, 127, "CANCEL") == 480
    assert not literal.last_attempt_decides


def test_operators_line_goes_before_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("results:\n  - {cause: 102, result: 408}\n  - {cause: 16, status: NOANSWER, result: 480}\n")
    table = load_rules(RuleSettings(results_file=own)).results
    assert result_of(table, 102, "") == 408
    assert result_of(table, 102, "CANCEL") == 480  # a line that names the status still goes first
    assert result_of(table, 16, "NOANSWER") == 480
    assert load_rules(RuleSettings(results_file=own)).hash != load_rules().hash


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {cause: 128, result: 200}", "own.yaml:2: unknown hangup cause 128\nAllowed: any, 0 to 127"),
        ("- {cause: -1, result: 200}", "own.yaml:2: unknown hangup cause -1"),
        ("- {cause: true, result: 200}", "own.yaml:2: unknown hangup cause True"),
        ("- {cause: ١, result: 200}", "own.yaml:2: unknown hangup cause '١'"),
        ("- {cause: 16, status: ANSWERD, result: 200}", "own.yaml:2: unknown dial status 'ANSWERD'\nAllowed: '', 'AN"),
        ("- {cause: 16, status: [{}], result: 200}", "own.yaml:2: unknown dial status {}"),
        ("\n  - {cause: 16, result: 299}", "own.yaml:3: unknown result 299\nAllowed: 0, 200, 404"),
        ("- {cause: 16, result: true}", "own.yaml:2: unknown result True"),
        ("- {cause: 16, result: [200, {}]}", "own.yaml:2: unknown result"),
        ("- {cause: 17, result: 486}\n  - {cause: [16, 17], result: 480}",
         "own.yaml:3: cause 17, dial status empty already has a rule at own.yaml:2"),
        ("- {cause: 17, status: [ANSWER, BUSY], result: 486}\n  - {cause: any, status: BUSY, result: 480}",
         "own.yaml:3: cause 17, dial status BUSY already has a rule at own.yaml:2"),
        ("- {cause: [], result: 200}", "own.yaml:2: an empty list covers no combination"),
        ("- {cause: 16, status: [], result: 200}", "own.yaml:2: an empty list covers no combination"),
    ],
)  # fmt: skip
def test_bad_line_is_refused_with_file_line_reason_and_what_is_allowed(text: str, told: str) -> None:
    assert told in refusal(f"results:\n  {text}\n")
