"""The CRM tables: a call's result to the status, and the text, that its CRM shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import yaml

from streams.errors import RulesError
from streams.rules.lines import RuleLine, read_lines
from streams.rules.results import RESULT_NAMES

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


class Outcome(Protocol):
    """What a CRM table looks at (a call result)."""

    @property
    def result(self) -> int: ...
    @property
    def direction(self) -> str: ...
    @property
    def answered(self) -> bool: ...


class KommoStatus(NamedTuple):
    """`call_status` and `call_result`."""

    status: int
    text: str | None


Status = TypeVar("Status")

CONDITIONS: Mapping[str, Callable[[Outcome], bool]] = {
    "always": lambda _: True,
    "answered": lambda outcome: outcome.answered,
    "not answered": lambda outcome: not outcome.answered,
    "incoming, not answered": lambda outcome: outcome.direction == "incoming" and not outcome.answered,
}


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

    def rule(self, outcome: Outcome) -> StatusRule[Status]:
        """The line that decides."""
        for result in (outcome.result, 0):
            for rule in self.rules:
                if result in rule.results and CONDITIONS[rule.when](outcome):
                    return rule
        raise AssertionError("the table was read without lines for result 0")  # read_* refuses such a table

    def status(self, outcome: Outcome) -> Status:
        """The CRM's status of a call."""
        return self.rule(outcome).status


def read_bitrix24(text: str, file: str) -> list[StatusRule[str]]:
    """Bitrix24's table. Raises RulesError."""

    def status_of(line: RuleLine) -> str:
        status = str(line.columns["status"])
        if status not in BITRIX24_STATUSES:
            line.refuse(f"unknown Bitrix24 status {status!r}", BITRIX24_STATUSES)
        return status

    lines = read_lines(text, file, "statuses", ("result", "when", "status"), ("result", "status"))
    return [_rule(line, status_of(line)) for line in lines]


def read_kommo(text: str, file: str, texts: Mapping[str, str]) -> list[StatusRule[KommoStatus]]:
    """Kommo's table; a text that is no name of `texts` stands for itself. Raises RulesError."""

    def status_of(line: RuleLine) -> KommoStatus:
        status = line.columns["status"]
        if not isinstance(status, int) or isinstance(status, bool) or status not in KOMMO_STATUSES:
            line.refuse(f"unknown Kommo status {status!r}", KOMMO_STATUSES)
        text = line.columns.get("text")
        if text is not None and not isinstance(text, str):
            line.refuse(f"text {text!r} is no text", texts)
        return KommoStatus(status, texts.get(text, text) if text else None)

    lines = read_lines(text, file, "statuses", ("result", "when", "status", "text"), ("result", "status"))
    return [_rule(line, status_of(line)) for line in lines]


def build_statuses(shipped: list[StatusRule[Status]], own: list[StatusRule[Status]]) -> StatusTable[Status]:
    """The table in force: the operator's lines before the shipped ones."""
    for rules in (shipped, own):
        _refuse_unreachable(rules)
    return StatusTable((*own, *shipped))


def read_texts(text: str, file: str, language: str) -> dict[str, str]:
    """The texts of a language. Raises RulesError."""
    try:
        languages = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RulesError(f"{file} is not valid YAML: {error}") from None
    if not isinstance(languages, dict) or not isinstance(languages.get(language), dict):
        raise RulesError(f"{file} holds no texts in {language!r}")
    return {str(name): str(words) for name, words in languages[language].items()}


def _refuse_unreachable(rules: list[StatusRule[Status]]) -> None:
    claimed: dict[tuple[int, str], StatusRule[Status]] = {}
    for rule in rules:
        for result in rule.results:
            for when in (rule.when, "always"):
                if other := claimed.get((result, when)):
                    rule.line.refuse(f"result {result} is already decided at {other.line.place}")
            claimed[result, rule.when] = rule


def _rule(line: RuleLine, status: Status) -> StatusRule[Status]:
    results = line.many("result")
    for result in results:
        if not isinstance(result, int) or isinstance(result, bool) or result not in RESULT_NAMES:
            line.refuse(f"unknown result {result!r}", RESULT_NAMES)
    when = line.columns.get("when", "always")
    if not isinstance(when, str) or when not in CONDITIONS:
        line.refuse(f"unknown condition {when!r}", (repr(each) for each in CONDITIONS))
    return StatusRule(line, frozenset(results), when, status)
