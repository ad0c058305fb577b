"""The result table, all 1,280 combinations, as docs/call-status.md has it."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from streams.rules import load_rules
from streams.rules.results import ResultTable
from streams.settings import RuleSettings
from tests.rules import specification
from tests.rules.files import refusal, rules_of


def result_of(table: ResultTable, cause: int, status: str) -> int:
    rule = table.rule(cause, status)
    return rule.result if rule else 0


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("default", specification.result_by_default), ("literal", specification.result_by_letter)],
)
def test_table_gives_every_combination_its_result(preset: str, expected: Callable[[int, str], int]) -> None:
    table = load_rules(RuleSettings.model_validate({"preset": preset})).results
    combinations = list(product(specification.CAUSES, specification.DIAL_STATUSES))
    assert len(combinations) == 1280
    different = {
        (cause, status): (found, wanted)
        for cause, status in combinations
        if (found := result_of(table, cause, status)) != (wanted := expected(cause, status))
    }
    assert different == {}


@pytest.mark.parametrize(
    ("cause", "status", "by_default", "by_letter"),
    [
        (0, "CANCEL", 480, 0), (0, "CHANUNAVAIL", 500, 0), (0, "CONGESTION", 500, 0), (0, "", 0, 0),
        (127, "CANCEL", 480, 480), (16, "CANCEL", 480, 480), (16, "INVALIDARGS", 0, 0), (19, "ANSWER", 480, 480),
        (44, "CONGESTION", 500, 500), (2, "", 0, 0),
    ],
)  # fmt: skip
def test_combinations_that_the_specification_decides_by_name(
    cause: int, status: str, by_default: int, by_letter: int
) -> None:
    assert result_of(load_rules().results, cause, status) == by_default
    assert result_of(load_rules(RuleSettings(preset="literal")).results, cause, status) == by_letter


def test_literal_preset_knows_no_override_by_the_talk() -> None:
    assert load_rules().results.last_attempt_decides
    assert load_rules(RuleSettings(preset="literal")).results.last_attempt_decides is False


def test_operators_line_goes_before_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("results:\n  - {cause: 102, result: 408}\n  - {cause: 16, status: NOANSWER, result: 480}\n")
    table = load_rules(RuleSettings(results_file=own)).results
    assert result_of(table, 102, "") == 408
    assert result_of(table, 102, "CANCEL") == 480  # a line that names the status still goes first
    assert result_of(table, 16, "NOANSWER") == 480
    assert load_rules(RuleSettings(results_file=own)).hash != load_rules().hash


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("cause: [20, 1 Unallocated]", "causes 1, 20, whatever dial status: 408 Request timeout"),
        ("cause: 102 Recovery on timer expiry", "cause 102, whatever dial status: 408 Request timeout"),
        ("cause: any, status: BUSY", "any cause, dial status BUSY: 408 Request timeout"),
        ("cause: 16, status: [NOANSWER, '']", "cause 16, dial status empty, NOANSWER: 408 Request timeout"),
    ],
)
def test_line_is_told_in_words(columns: str, told: str) -> None:
    table = rules_of(f"results:\n  - {{{columns}, result: 408}}\n").results
    assert table.lines[0].words == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {cause: 128, result: 200}", "own.yaml:2: unknown hangup cause 128\nAllowed: any, 0 to 127"),
        ("- {cause: [any, 300], result: 200}", "own.yaml:2: unknown hangup cause 300"),
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
