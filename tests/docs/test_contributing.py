"""The answers of CONTRIBUTING's map name lines that hold what they are said to hold."""

import re

import pytest

from tests.docs.pages import ROOT

ANSWERS = re.findall(r"`([\w./]+):(\d+)` \(`([^`]+)`\)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_the_map_answers_where_to_change_what() -> None:
    assert len(ANSWERS) >= 5


@pytest.mark.parametrize(("path", "number", "words"), ANSWERS, ids=[f"{path}:{number}" for path, number, _ in ANSWERS])
def test_a_line_that_the_map_names_holds_what_it_says(path: str, number: str, words: str) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    where = next((found for found, line in enumerate(lines, 1) if words in line), None)
    assert int(number) == where, f"CONTRIBUTING.md: {words!r} stands at {path}:{where}"
