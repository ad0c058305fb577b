"""The page of every point at the CRMs: the tests that it names are there."""

import re

import pytest

from streams.crm.registry import BUILT_IN
from streams.crm.shared.probe import Point, probe_of
from tests.docs.pages import ROOT, page, rows

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
POINTS = {"Bitrix24": [f"B{number}" for number in range(1, 41)]}


@pytest.mark.parametrize("crm", POINTS)
def test_every_point_is_there_once_with_a_test_or_a_reason(crm: str) -> None:
    points = rows("crms-live.md", crm)
    assert [point[0] for point in points] == POINTS[crm]
    for point in points:
        assert len(point) == 5 and all(point), point
        assert NAMED.search(point[4]) or point[4] == "none needed", point


def test_the_tests_that_the_page_names_are_there() -> None:
    named = NAMED.findall(page("crms-live.md"))
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _text(file)]
    assert missing == []


def _text(file: str) -> str:
    path = ROOT / file
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_what_only_a_portal_can_tell_is_what_the_probes_try() -> None:
    points: dict[int, Point] = {}
    for crm in BUILT_IN:
        if (probe := probe_of(crm)) is not None:
            points |= {point.number: point for point in probe.points}
    told = [
        [str(number), points[number].question, fake.words, f"`{fake.file}`: `{fake.name}`"]
        for number in sorted(points)
        for fake in (points[number].expected,)
    ]
    table = rows("crms-live.md", "What only a portal can tell")
    assert [cells[:4] for cells in table] == told
    named = {f"| {cells[4]} |": f"point {cells[0]}" for cells in table}
    for line in page("crms-live.md").splitlines():
        for place, point in named.items():
            if line.startswith(place):
                assert point in line
