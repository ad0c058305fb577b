"""Cases from the field: every file in `cases` is a regression test. CONTRIBUTING.md says how one is made."""

from pathlib import Path
from typing import Any

import pytest

from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.truth import classify_case, compare, read_cases
from tests.calls.tables import RULES

FOLDER = Path(__file__).parent / "cases"
CASES = [(f"{path.stem}: {case['case']}", case) for path in sorted(FOLDER.glob("*.jsonl")) for case in read_cases(path)]
QUESTIONS = {"human_answered": "answered", "who_answered": "talked with", "direction": "direction", "result": "result",
             "bitrix24": "bitrix24", "kommo": "kommo"}  # fmt: skip


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_case_from_the_field_is_classified_as_it_was(case: dict[str, Any]) -> None:
    compared = list(compare(case, RULES, PbxProfile()))
    assert [each for each in compared if not each.agrees] == []
    given = {question for field, question in QUESTIONS.items() if case.get(field) is not None}
    assert {each.question for each in compared} == given, "a truth that is given must be compared"
    assert given, "a case without a truth tests nothing"


def test_a_wrong_truth_is_seen_whichever_it_is() -> None:
    _, case = CASES[0]
    for field, wrong in (("human_answered", False), ("who_answered", "9"), ("direction", "outbound"), ("result", 603),
                         ("bitrix24", "OTHER"), ("kommo", 1)):  # fmt: skip
        compared = list(compare({**case, "human_answered": True, field: wrong}, RULES, PbxProfile()))
        assert [each.question for each in compared if not each.agrees] == [QUESTIONS[field]]


def test_a_case_brings_the_settings_that_its_pbx_needs() -> None:
    _, case = CASES[0]
    linkedid, client = case["linkedids"][0], case["cel"][0]["cid_num"]
    mobile_of_staff = {**case, "settings": {"numbers": {"internal_patterns": [client]}}}

    def direction(classified: dict[str, Any]) -> str:
        return next(
            each.direction for each in classify_case(classified, RULES, PbxProfile()) if each.linkedid == linkedid
        )

    assert direction(case) == "incoming"
    assert direction(mobile_of_staff) != "incoming"
