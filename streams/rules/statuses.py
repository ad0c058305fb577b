"""The CRM tables: a call's result to the status, and the text, that its CRM shows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Generic, NamedTuple, Protocol, TypeVar

from streams.rules.lines import Faults, RuleLine, Section
from streams.rules.results import known_result
from streams.rules.texts import Text

BITRIX24_STATUSES = {
    "200": "successful call",
    "304": "missed call",
    "402": "insufficient funds",
    "403": "forbidden",
    "404": "wrong number",
    "405": "method not supported",
    "423": "blocked",
    "480": "temporarily unavailable",
    "484": "destination not available",
    "486": "busy",
    "500": "internal server error",
    "503": "destination not available",
    "603": "canceled",
    "603-S": "call canceled",
    "OTHER": "other",
}
"""Every STATUS_CODE that Bitrix24 knows, and 405 and OTHER, which it accepts."""

KOMMO_STATUSES = {
    1: "left a voice message",
    2: "call back later",
    3: "out of the office",
    4: "conversation took place",
    5: "wrong number",
    6: "did not get through",
    7: "number busy",
}


class CallOutcome(Protocol):
    """What a CRM table looks at (a call result)."""

    @property
    def result(self) -> int: ...
    @property
    def direction(self) -> str: ...
    @property
    def answered(self) -> bool: ...


class Seen(NamedTuple):
    """As much of a call as a CRM's table looks at."""

    result: int
    direction: str
    answered: bool


class KommoStatus(NamedTuple):
    """`call_status` and `call_result`."""

    status: int
    text: str | None


Status = TypeVar("Status")

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
"""What a line's `when` may say."""

_LOOKS_LIKE_A_NAME = re.compile(r"[a-z]+(_[a-z]+)+")


@dataclass(frozen=True, slots=True)
class StatusRule(Generic[Status]):
    """One line of a CRM's table."""

    line: RuleLine
    results: frozenset[int]
    when: str
    status: Status


@dataclass(frozen=True, slots=True)
class StatusTable(Generic[Status]):
    """A CRM's table: the first line that fits; a result that has none is processed the old way, as result 0."""

    rules: tuple[StatusRule[Status], ...]

    def rule(self, outcome: CallOutcome) -> StatusRule[Status]:
        """The line that decides."""
        situation = outcome.direction, outcome.answered
        for result in (outcome.result, 0):
            for rule in self.rules:
                if result in rule.results and situation in CONDITIONS[rule.when]:
                    return rule
        raise AssertionError("the table was read without lines for result 0")  # the shipped table has them

    def status(self, outcome: CallOutcome) -> Status:
        """The CRM's status of a call."""
        return self.rule(outcome).status


def read_bitrix24(section: Section, faults: Faults) -> list[StatusRule[str]]:
    """Bitrix24's lines."""

    def rule_of(line: RuleLine) -> StatusRule[str]:
        status = str(line.columns["status"])
        if status not in BITRIX24_STATUSES:
            line.refuse(f"unknown Bitrix24 status {status!r}", BITRIX24_STATUSES)
        return _rule(line, status)

    return section.table(("result", "when", "status"), ("result", "status"), rule_of, faults)


def read_kommo(section: Section, faults: Faults) -> list[StatusRule[KommoStatus]]:
    """Kommo's lines, texts by name (`name_texts` puts the words in)."""

    def rule_of(line: RuleLine) -> StatusRule[KommoStatus]:
        status, text = line.columns["status"], line.columns.get("text")
        if not isinstance(status, int) or isinstance(status, bool) or status not in KOMMO_STATUSES:
            line.refuse(f"unknown Kommo status {status!r}", KOMMO_STATUSES)
        if text is not None and not isinstance(text, str):
            line.refuse(f"text {text!r} is no text")
        return _rule(line, KommoStatus(status, text or None))

    return section.table(("result", "when", "status", "text"), ("result", "status"), rule_of, faults)


def name_texts(
    rules: list[StatusRule[KommoStatus]], texts: Mapping[str, Text], faults: Faults
) -> list[StatusRule[KommoStatus]]:
    """The same lines with the words of their texts; what is no name of a text stands for itself."""
    named = []
    for rule in rules:
        text = rule.status.text
        with faults.gathered():
            if text and text not in texts and _LOOKS_LIKE_A_NAME.fullmatch(text):
                rule.line.refuse(f"no text is named {text!r}", sorted(texts))
            words = texts[text].words if text and text in texts else text
            named.append(replace(rule, status=KommoStatus(rule.status.status, words)))
    return named


def build_statuses(
    shipped: list[StatusRule[Status]], own: list[StatusRule[Status]], faults: Faults
) -> StatusTable[Status]:
    """The table in force: the operator's lines before the shipped ones.

    A line that those before it in its own list leave nothing to decide is a fault.
    """
    for rules in (shipped, own):
        _refuse_unreachable(rules, faults)
    return StatusTable((*own, *shipped))


def _refuse_unreachable(rules: list[StatusRule[Status]], faults: Faults) -> None:
    decided: dict[int, dict[Situation, StatusRule[Status]]] = {}
    for rule in rules:
        with faults.gathered():
            for result in sorted(rule.results):
                before = decided.setdefault(result, {})
                open_yet = CONDITIONS[rule.when] - before.keys()
                if not open_yet:
                    places = sorted({before[each].line.place for each in CONDITIONS[rule.when]})
                    rule.line.refuse(f"result {result}, {rule.when}: already decided at {', '.join(places)}")
                before.update(dict.fromkeys(open_yet, rule))


def _rule(line: RuleLine, status: Status) -> StatusRule[Status]:
    results = frozenset(known_result(line, result) for result in line.many("result"))
    if not results:
        line.refuse("an empty list of results decides nothing")
    when = line.columns.get("when", "always")
    if not isinstance(when, str) or when not in CONDITIONS:
        line.refuse(f"unknown condition {when!r}", (repr(each) for each in CONDITIONS))
    return StatusRule(line, results, when, status)
