"""Calls made with a real Asterisk 22, each described as by a person who listened: `described/*.cel`.

A case is a name (`##`), what happened (`#`), what is expected of each call (`> channel: field=value ..`, by the channel
that began it) and the rows as in tables.py. Seconds may differ by 0.3. `> xfail reason` marks what is known to fail.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streams.calls.call import Call
from streams.calls.result import Classification
from tests.calls.tables import cel, classified

SECONDS = {"talk": "talk_seconds", "ringing": "ringing_seconds", "queue": "queue_seconds", "ivr": "ivr_seconds"}
LISTS = {"talked_with", "transfers", "pickups", "linked_calls", "legs"}
WORDS = {"yes": True, "no": False, "none": None}


@dataclass(slots=True)
class DescribedCall:
    """One case of a file."""

    name: str
    about: str = ""
    fails: str = ""
    expected: dict[int, dict[str, str]] = field(default_factory=dict)
    table: list[str] = field(default_factory=list)


def read(path: Path) -> Iterator[DescribedCall]:
    case: DescribedCall | None = None
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            if case is not None:
                yield case
            case = DescribedCall(f"{path.stem}: {line[3:]}")
        elif case is None or not line.strip():
            continue
        elif line.startswith("# "):
            case.about += line[2:]
        elif line.startswith("> xfail "):
            case.fails = line[8:]
        elif line.startswith("> "):
            channel, _, fields = line[2:].partition(":")
            case.expected[int(channel)] = dict(word.split("=", 1) for word in shlex.split(fields))
        else:
            case.table.append(line)
    if case is not None:
        yield case


CASES = [case for path in sorted((Path(__file__).parent / "described").glob("*.cel")) for case in read(path)]


def calls_of(table: list[str]) -> tuple[dict[int, Classification], dict[str, int]]:
    """The outcome of each call by its first channel's number, and the number of each uniqueid."""
    folded: dict[str, Call] = {}
    for row in cel("\n".join(table)):
        folded.setdefault(row.linkedid, Call("pbx1", row.linkedid)).add(row)
    rows = defaultdict(list)
    for call in folded.values():
        for row in call.rows:
            rows[call.linkedid].append(row)
    outcomes = {int(linkedid.rpartition(".")[2]): classified(each) for linkedid, each in rows.items()}
    uniqueids = {row.uniqueid: int(row.uniqueid.rpartition(".")[2]) for call in folded.values() for row in call.rows}
    return outcomes, uniqueids


def found(name: str, classification: Classification, uniqueids: dict[str, int], expected: object) -> object:
    """The value of a field, as the file writes it."""
    if name == "legs":
        return tuple(f"{leg.number} {leg.outcome}" for leg in classification.legs)
    value: Any = getattr(classification.result, SECONDS.get(name, name))
    if name == "linked_calls":
        return tuple(f"@{uniqueids[each]}" for each in value)
    if name == "part_of" and value is not None:
        return f"@{uniqueids[value]}"
    if name in SECONDS and isinstance(expected, float) and value is not None:
        return pytest.approx(expected, abs=0.3) if abs(value - expected) <= 0.3 else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def wanted(name: str, text: str) -> object:
    if name in LISTS:
        return tuple(filter(None, (each.strip() for each in text.split(","))))
    if name in SECONDS and text != "none":
        return float(text)
    return WORDS.get(text, text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_call_is_classified_as_a_person_would_describe_it(case: DescribedCall, request: pytest.FixtureRequest) -> None:
    if case.fails:
        request.applymarker(pytest.mark.xfail(strict=True, reason=case.fails))
    outcomes, uniqueids = calls_of(case.table)
    wrong = [case.about]
    for channel, fields in case.expected.items():
        for name, text in fields.items():
            expected = wanted(name, text)
            value = found(name, outcomes[channel], uniqueids, expected)
            if value != expected:
                wrong.append(f"call of channel {channel}: {name} is {value}, expected {expected}")
    assert len(wrong) == 1, "\n".join(wrong)


def test_every_case_expects_something_of_its_calls() -> None:
    assert all(case.expected and case.table for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)
