"""The CRM tables: a call's result to the status, and the text, that its CRM shows.

Which statuses there are, and the lines that come with the product, stand in each CRM's folder (CrmKind.statuses).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple, Protocol

from streams.crm.kind import StatusCodes
from streams.rules.lines import Faults, RuleLine, Section
from streams.rules.results import known_result
from streams.rules.texts import Text


class CallOutcome(Protocol):
    """The part of a call result that a CRM's table looks at."""

    @property
    def result(self) -> int: ...
    @property
    def direction(self) -> str: ...
    @property
    def answered(self) -> bool: ...


class CallFeatures(NamedTuple):
    """As much of a call as a CRM's table looks at."""

    result: int
    direction: str
    answered: bool


class CrmStatus(NamedTuple):
    """The status that a CRM shows of a call.

    In a rule that was read but is not in force yet, `text` may be the name of a text.
    """

    code: str | int
    text: str | None = None


Situation = tuple[str, bool]
"""Direction, and whether the call was answered."""

DIRECTIONS = ("incoming", "outgoing", "internal", "unknown")
SITUATIONS: tuple[Situation, ...] = tuple(product(DIRECTIONS, (True, False)))

CONDITIONS: Mapping[str, frozenset[Situation]] = {
    "always": frozenset(SITUATIONS),
    "answered": frozenset(product(DIRECTIONS, (True,))),
    "not answered": frozenset(product(DIRECTIONS, (False,))),
    **{direction: frozenset(product((direction,), (True, False))) for direction in DIRECTIONS},
    **{f"{direction}, answered": frozenset({(direction, True)}) for direction in DIRECTIONS},
    **{f"{direction}, not answered": frozenset({(direction, False)}) for direction in DIRECTIONS},
}
"""The conditions that a line's `when` may name, and the situations that each covers."""

_LOOKS_LIKE_A_NAME = re.compile(r"[a-z]+(_[a-z]+)+")


@dataclass(frozen=True, slots=True)
class StatusRule:
    """One line of a CRM's table."""

    line: RuleLine
    results: frozenset[int]
    when: str
    status: CrmStatus


@dataclass(frozen=True, slots=True)
class StatusTable:
    """A CRM's table: the first line that fits; a result that has none is processed the old way, as result 0."""

    title: str
    """The CRM's name as people read it."""
    codes: StatusCodes
    rules: tuple[StatusRule, ...]

    def rule(self, outcome: CallOutcome) -> StatusRule:
        """The line that decides."""
        situation = outcome.direction, outcome.answered
        for result in (outcome.result, 0):
            for rule in self.rules:
                if result in rule.results and situation in CONDITIONS[rule.when]:
                    return rule
        raise AssertionError("the table was read without lines for result 0")  # build_statuses refuses it

    def status(self, outcome: CallOutcome) -> CrmStatus:
        """The CRM's status of a call."""
        return self.rule(outcome).status

    def meaning(self, status: CrmStatus) -> str:
        """A status in the CRM's own words."""
        return self.codes.meanings[status.code]

    def to_json(self, status: CrmStatus) -> dict[str, object]:
        """A status as commands print it for machines."""
        return {"status": status.code, "text": status.text} if self.codes.with_text else {"status": status.code}

    def to_hash(self, status: CrmStatus) -> object:
        """A status as it goes into the rules' hash. Never to be changed: results name the hash."""
        return status if self.codes.with_text else status.code


def read_statuses(section: Section, title: str, codes: StatusCodes, faults: Faults) -> list[StatusRule]:
    """The lines of a CRM's table, texts by name (`name_texts` puts the words in)."""
    numbers = all(isinstance(code, int) for code in codes.meanings)

    def rule_of(line: RuleLine) -> StatusRule:
        code, text = line.columns["status"], line.columns.get("text")
        if not numbers:
            code = str(code)  # 304 without quotes is a number in YAML
        if isinstance(code, bool) or not isinstance(code, int | str) or code not in codes.meanings:
            line.refuse(f"unknown {title} status {code!r}", codes.meanings)
        if text is not None and not isinstance(text, str):
            line.refuse(f"text {text!r} is not a text")
        return _rule(line, CrmStatus(code, text or None))

    columns = ("result", "when", "status", *(("text",) if codes.with_text else ()))
    return section.table(columns, ("result", "status"), rule_of, faults)


def name_texts(rules: list[StatusRule], texts: Mapping[str, Text], faults: Faults) -> list[StatusRule]:
    """The same lines with the words of their texts; what is not the name of a text stands for itself."""
    named = []
    for rule in rules:
        text = rule.status.text
        with faults.gathered():
            if text and text not in texts and _LOOKS_LIKE_A_NAME.fullmatch(text):
                rule.line.refuse(f"no text is named {text!r}", sorted(texts))
            words = texts[text].words if text and text in texts else text
            named.append(replace(rule, status=CrmStatus(rule.status.code, words)))
    return named


def build_statuses(title: str, codes: StatusCodes, lists: Sequence[list[StatusRule]], faults: Faults) -> StatusTable:
    """The table in force: the operator's lines, those of the preset, and the shipped ones, in that order.

    A line that those before it in its own list leave nothing to decide is a fault.
    """
    for rules in lists:
        refuse_unreachable(rules, faults)
    return StatusTable(title, codes, tuple(rule for rules in lists for rule in rules))


def refuse_gaps(rules: list[StatusRule], place: RuleLine) -> None:
    """Raise RulesError where a shipped table leaves a call without a status: result 0 must have one in any case."""
    covered = frozenset[Situation]().union(*(CONDITIONS[rule.when] for rule in rules if 0 in rule.results))
    if gaps := [
        f"{direction}, {'answered' if answered else 'not answered'}"
        for direction, answered in SITUATIONS
        if (direction, answered) not in covered
    ]:
        place.refuse(f"result 0 has no line for: {'; '.join(gaps)}")


def refuse_unreachable(rules: list[StatusRule], faults: Faults) -> None:
    """Note each line that those before it leave nothing to decide."""
    decided: dict[int, dict[Situation, StatusRule]] = {}
    for rule in rules:
        with faults.gathered():
            for result in sorted(rule.results):
                before = decided.setdefault(result, {})
                open_yet = CONDITIONS[rule.when] - before.keys()
                if not open_yet:
                    places = sorted({before[each].line.place for each in CONDITIONS[rule.when]})
                    rule.line.refuse(f"result {result}, {rule.when}: already decided at {', '.join(places)}")
                before.update(dict.fromkeys(open_yet, rule))


def _rule(line: RuleLine, status: CrmStatus) -> StatusRule:
    results = frozenset(known_result(line, result) for result in line.many("result"))
    if not results:
        line.refuse("an empty list of results decides nothing")
    when = line.columns.get("when", "always")
    if not isinstance(when, str) or when not in CONDITIONS:
        line.refuse(f"unknown condition {when!r}", (repr(each) for each in CONDITIONS))
    return StatusRule(line, results, when, status)
