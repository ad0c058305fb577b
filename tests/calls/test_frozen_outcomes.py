"""What the recorded calls are told, frozen: no mending may change what was told right.

`frozen_outcomes.jsonl` holds a line a call. A line changes only by hand, with the reason in the commit's message:
`python -m tests.calls.test_frozen_outcomes` writes what is told now, and `git diff` shows which lines differ.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.demo.recordings import RECORDINGS
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.truth import classify_case, read_cases
from tests.calls.tables import RULES

FROZEN = Path(__file__).parent / "frozen_outcomes.jsonl"
FIELDS = (
    *("direction", "answered", "answered_by", "result", "client", "caller", "called", "did", "trunk", "extension"),
    *("abandoned", "complete", "warnings"),
)


def outcomes_now() -> Iterator[str]:
    for case in read_cases(Path(RECORDINGS)):
        for result in classify_case(case, RULES, PbxProfile()):
            fields = {name: getattr(result, name) for name in FIELDS}
            statuses = {crm: str(table.status(result).code) for crm, table in sorted(RULES.tables.items())}
            line = {"case": case["case"], "linkedid": result.linkedid, **fields, **statuses}
            yield json.dumps(line, ensure_ascii=False)


def test_recorded_calls_are_told_as_they_were() -> None:
    frozen, now = FROZEN.read_text(encoding="utf-8").splitlines(), list(outcomes_now())
    assert len(frozen) > 282
    assert len(now) == len(frozen)
    assert [pair for pair in zip(frozen, now, strict=True) if pair[0] != pair[1]] == []


if __name__ == "__main__":
    FROZEN.write_text("".join(f"{line}\n" for line in outcomes_now()), encoding="utf-8")
    sys.exit(0)
