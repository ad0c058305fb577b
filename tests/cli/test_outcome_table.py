"""The table of `classify` at the widths of real terminals: no number is ever cut, no line is longer than the screen."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from deploy.demo.recordings import RECORDINGS
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.classify.table import outcome_table
from streams.rows.files import RowSource
from streams.rows.row import RowDecoder
from tests.calls.tables import RULES


@pytest.fixture(scope="module")
def results() -> list[CallResult]:
    return list(
        OfflineClassifier(RULES, PbxProfile()).classify(RowSource(RowDecoder(), lambda _line: None).rows(RECORDINGS))
    )


def shown(results: list[CallResult], width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(outcome_table(iter(results), RULES, width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [45, 60, 72, 80, 100, 120, 123, 124, 140, 180])
def test_numbers_are_whole_and_lines_fit(results: list[CallResult], width: int) -> None:
    lines = shown(results, width)
    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)
    words = set(re.split(r"[\s│]+", "\n".join(lines)))
    for result in results:
        numbers = (result.linkedid, result.direction, result.caller, result.called, str(result.result))
        assert {number for number in numbers if number} <= words
        if result.answered and result.answered_by:
            assert result.answered_by in words


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (180, ["linkedid", "direction", "caller", "called", "answered by", "talk", "result", "Bitrix24", "Kommo"]),
        (80, ["call", "from, to", "answered", "result", "Kommo"]),
        (60, ["call", "from, to", "answered", "result", "CRMs"]),
        (45, ["call", "from, to, by", "result"]),
    ],
)
def test_columns_are_chosen_by_width(results: list[CallResult], width: int, heads: list[str]) -> None:
    head = next(line for line in shown(results, width) if "call" in line or "linkedid" in line)
    assert [each for each in heads if each in head] == heads
    assert ("direction" in head) == (width == 180)


def test_frames_are_whole(results: list[CallResult]) -> None:
    framed = [lines for width in range(116, 190, 6) if (lines := shown(results, width))[0].startswith("┏")]
    assert len(framed) > 3
    for lines in framed:
        assert {line[-1] for line in lines} <= set("┓┩│┘┃")


def test_no_call_is_a_head_alone() -> None:
    assert "from, to" in "".join(shown([], 80))
