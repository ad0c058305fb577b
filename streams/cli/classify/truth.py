"""`cel2crm classify --truth`: outcomes beside the truth that recorded cases carry."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.output import Table, console_of
from streams.errors import UserError
from streams.rows.row import RowDecoder
from streams.rules import Rules
from streams.settings import AggregateSettings, NumberSettings, Settings

DIRECTIONS = {"inbound": "incoming", "outbound": "outgoing", "internal": "internal"}


@dataclass(frozen=True, slots=True)
class TruthComparison:
    """One call's truth and outcome."""

    case: str
    question: str
    truth: object
    outcome: object

    @property
    def agrees(self) -> bool:
        return self.truth == self.outcome


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The recorded cases of a file (the form of shared/cel/calls.jsonl). Raises UserError naming the line."""
    cases = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        try:
            case = orjson.loads(line)
            if not isinstance(case["case"], str) or not isinstance(case["cel"], list):
                raise TypeError("case and cel")
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a recorded case: {error}") from None
        cases.append(case)
    return cases


def compare(case: dict[str, Any], rules: Rules, profile: PbxProfile) -> Iterator[TruthComparison]:
    """Each question that the case's truth answers, beside the outcome.

    A captured case may answer more: `result`, and the status at each CRM by its name, of its first call.
    """
    results = {result.linkedid: result for result in classify_case(case, rules, profile)}
    if not results:
        return
    if case.get("calls"):
        for truth in case["calls"]:
            yield from _answered(f"{case['case']} {truth['linkedid']}", truth, [results[truth["linkedid"]]])
    elif case.get("human_answered") is not None:
        yield from _answered(case["case"], case, _own(results))
    if expected := DIRECTIONS.get(case["direction"]):
        for result in _own(results):
            yield TruthComparison(case["case"], "direction", expected, result.direction)
    first = next((each for each in _own(results) if each.linkedid in case.get("linkedids", ())[:1]), _own(results)[0])
    found = {
        "result": first.result,
        **{crm: table.status(first).code for crm, table in rules.tables.items()},
    }
    for question, outcome in found.items():
        if case.get(question) is not None:
            yield TruthComparison(case["case"], question, str(case[question]), str(outcome))


def profile_of(case: dict[str, Any], profile: PbxProfile) -> PbxProfile:
    """The site of a case that brings its own settings (`cel2crm capture` writes those that its PBX needs)."""
    if not case.get("settings"):
        return profile
    own = case["settings"]
    try:
        numbers = NumberSettings.model_validate(own.get("numbers", {}))
        aggregate = AggregateSettings.model_validate(own.get("aggregate", {}))
    except ValidationError as error:
        raise UserError(f"case {case['case']}: its settings cannot be used: {error}") from None
    # Not from the environment: a case is classified the same everywhere.
    return PbxProfile.of(Settings.model_construct(numbers=numbers, aggregate=aggregate))


def classify_case(case: dict[str, Any], rules: Rules, profile: PbxProfile) -> list[CallResult]:
    """The outcomes of a case's calls."""
    profile = profile_of(case, profile)
    decoder = RowDecoder()
    calls: dict[str, Call] = {}
    for columns in case["cel"]:
        row = decoder.from_columns(columns)
        calls.setdefault(row.linkedid, Call("pbx1", row.linkedid)).add(row)
    return [classify(call, rules, profile, cut_short=not call.ended).result for call in calls.values()]


def report_truth(paths: list[Path], rules: Rules, profile: PbxProfile) -> bool:
    """Print what agrees and what does not; True where everything agrees."""
    compared = [each for path in paths for case in read_cases(path) for each in compare(case, rules, profile)]
    console = console_of(180)
    summary = Table("question", "truth", "outcome", "calls", title=f"{len(compared)} answers compared")
    counts: dict[tuple[str, str, str], int] = {}
    for each in compared:
        cells = ("", "") if each.question == "talked with" else (str(each.truth), str(each.outcome))
        if each.question == "talked with":
            cells = ("as recorded", "the same" if each.agrees else "different")
        counts[(each.question, *cells)] = counts.get((each.question, *cells), 0) + 1
    for (question, expected, found), count in sorted(counts.items()):
        summary.add_row(question, expected, found, str(count))
    console.print(summary)
    wrong = [each for each in compared if not each.agrees]
    if wrong:
        differing = Table("case", "question", "truth", "outcome", title=f"{len(wrong)} disagree")
        for each in wrong:
            differing.add_row(each.case, each.question, str(each.truth), str(each.outcome))
        console.print(differing)
    return not wrong


def _own(results: dict[str, CallResult]) -> list[CallResult]:
    """The case's own calls: pieces that went into another are told there."""
    return [result for result in results.values() if not result.abandoned] or list(results.values())


def _answered(case: str, truth: dict[str, Any], results: list[CallResult]) -> Iterator[TruthComparison]:
    yield TruthComparison(case, "answered", truth["human_answered"], any(result.answered for result in results))
    who = sorted(each for each in (truth.get("who_answered") or "").split(",") if each)
    talked = sorted({name for result in results for name in result.talked_with})
    if truth.get("who_answered") is not None:
        yield TruthComparison(case, "talked with", who, talked)
