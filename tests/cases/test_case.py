"""A captured case is classified as the real call is, but for the numbers."""

import re

import pytest

from deploy.demo.recordings import RECORDINGS
from streams.calls.pbx_profile import PbxProfile
from streams.cases.case import calls_of, capture_case, case_line, outcome_differences
from streams.cli.classify.truth import profile_of, read_cases
from streams.rows.row import RowDecoder
from tests.calls.tables import RULES

DECODER = RowDecoder()
CASES = [case for case in read_cases(RECORDINGS) if case["cel"]]
PROFILES = {
    "defaults": PbxProfile(),
    "configured trunks, staff with mobiles, another region": PbxProfile(
        trunks=("trunk*",), internal_patterns=(re.compile(r"7926\d+"),), region="DE", internal_digits=3
    ),
    "no BRIDGE rows, numbers rewritten": PbxProfile(bridges_logged=False, rewrite=((re.compile(r"^7"), "8"),)),
}


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_every_recording_is_told_the_same_when_it_is_anonymised(profile: PbxProfile) -> None:
    # All of them with the defaults; with the others every third is enough, and quick.
    for number, case in enumerate(CASES if profile is PROFILES["defaults"] else CASES[::3]):
        calls = calls_of("pbx1", map(DECODER.from_columns, case["cel"]))
        captured = capture_case(calls, profile, keep_trunks=number % 2 == 0)
        own = profile_of({"case": case["case"], "settings": captured.settings}, PbxProfile())
        assert outcome_differences(calls, captured, RULES, profile, own, RULES) == [], case["case"]


@pytest.mark.slow
def test_no_number_or_name_of_any_recording_stays() -> None:
    for case in CASES:
        captured = capture_case(calls_of("pbx1", map(DECODER.from_columns, case["cel"])), PbxProfile())
        text = case_line(captured, {"case": "x"}).decode()
        logged = {row[column] for row in case["cel"] for column in ("cid_num", "exten", "cid_dnid")}
        tails = {each[-7:] for each in logged if each.lstrip("+").isdigit() and len(each) >= 7}
        names = {row["cid_name"] for row in case["cel"]} - {"", "Anonymous"}
        assert [each for each in tails | names if each in text] == [], case["case"]


def test_a_case_that_is_told_differently_is_seen() -> None:
    calls = calls_of("pbx1", map(DECODER.from_columns, CASES[0]["cel"]))
    captured = capture_case(calls, PbxProfile())
    extensions_are_trunks = PbxProfile(trunks=("1*",))
    differences = outcome_differences(calls, captured, RULES, PbxProfile(), extensions_are_trunks, RULES)
    assert any("extension is None, and was '1001'" in line for line in differences), differences
