"""Every recorded call: the truth from the phones' own logs against the outcome."""

from pathlib import Path
from typing import Any

import pytest

from deploy.demo.recordings import RECORDINGS
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.truth import classify_case, compare, read_cases
from tests.calls.tables import RULES

CASES = read_cases(Path(RECORDINGS))

# The recording's label names the phone of sipp's standard scenario; its rows show that the trunk was called.
ARGUED = {("sipp_outbound_answered", "talked with")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_recorded_call_is_classified_as_it_was(case: dict[str, Any]) -> None:
    wrong = [
        each
        for each in compare(case, RULES, PbxProfile())
        if not each.agrees and (each.case, each.question) not in ARGUED
    ]
    assert wrong == []


def test_every_recording_is_here() -> None:
    assert len(CASES) == 282


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_answered_needs_no_extra(case: dict[str, Any]) -> None:
    with_extra = {result.linkedid: result.answered for result in classify_case(case, RULES, PbxProfile())}
    bare = {**case, "cel": [{**row, "extra": ""} for row in case["cel"]]}
    without = classify_case(bare, RULES, PbxProfile())
    assert {result.linkedid: result.answered for result in without} == with_extra
    assert {result.result for result in without} <= {0}


def test_times_of_pbxs_in_other_zones_are_utc() -> None:
    # tz_* cases: the wall clock is +3 h or -5 h, the second in uniqueid is UTC.
    zoned = [case for case in CASES if case["case"].startswith("tz_")]
    assert len(zoned) == 4
    for case in zoned:
        for result in classify_case(case, RULES, PbxProfile()):
            assert 0 <= result.started_at // 1_000_000 - int(result.linkedid.partition(".")[0]) <= 1
            assert result.utc_offset_seconds in {3 * 3600, -5 * 3600}
