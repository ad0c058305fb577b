"""The differences between two sets of rules."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from streams.rules import Rules
from streams.rules.directions import Directions, SideRule
from streams.rules.results import (
    CAUSES,
    DIAL_STATUSES,
    RESULT_NAMES,
    causes_in_words,
    result_in_words,
    statuses_in_words,
)
from streams.rules.statuses import CONDITIONS, SITUATIONS, CallFeatures, CrmStatus, Situation, StatusRule, StatusTable

NOWHERE = "no line"

Key = TypeVar("Key", bound=Hashable)
Member = TypeVar("Member")


@dataclass(frozen=True, slots=True)
class Change:
    """One outcome that differs, and the line that makes it so."""

    table: str
    what: str
    before: str
    after: str
    by: str


def differences(before: Rules, after: Rules) -> list[Change]:
    """Every combination, condition and pattern that gets another outcome."""
    return [
        *_results(before, after),
        *(change for crm, table in before.tables.items() for change in _statuses(crm, table, after.tables[crm], after)),
        *_directions(before.directions, after.directions),
    ]


def _results(before: Rules, after: Rules) -> Iterator[Change]:
    if before.results.last_attempt_decides != after.results.last_attempt_decides:
        talk = "a talk that lasted until hangup"
        yield Change("results", talk, _talk(before), _talk(after), f"preset {after.preset}")
    by_status: list[tuple[tuple[str, str, str, str], int]] = []
    for status in DIAL_STATUSES:
        for cause in CAUSES:
            old, new = before.results.rule(cause, status), after.results.rule(cause, status)
            was, is_now = result_in_words(old.result if old else 0), result_in_words(new.result if new else 0)
            if was != is_now:
                by_status.append(((status, was, is_now, new.line.place if new else NOWHERE), cause))
    alike: list[tuple[tuple[tuple[int, ...], str, str, str], str]] = [
        ((tuple(causes), was, is_now, by), status) for (status, was, is_now, by), causes in _grouped(by_status).items()
    ]
    for (causes, was, is_now, by), statuses in _grouped(alike).items():
        yield Change("results", f"{causes_in_words(causes)}, {statuses_in_words(statuses)}", was, is_now, by)


def _talk(rules: Rules) -> str:
    return "200 Success" if rules.results.last_attempt_decides else "as the table says"


def _statuses(crm: str, before: StatusTable, after: StatusTable, rules_after: Rules) -> Iterator[Change]:
    found = []
    for call in _calls():
        old, new = before.rule(call), after.rule(call)
        if old.status != new.status:
            told = (
                status_in_words(before, old.status),
                status_in_words(after, new.status),
                _cause_of_change(old, new, rules_after),
            )
            found.append(((call.result, *told), (call.direction, call.answered)))
    yield from _status_changes(crm, found)


def _cause_of_change(old: StatusRule, new: StatusRule, after: Rules) -> str:
    """The line of the table, or, where only its words changed, that of the text."""
    if old.line == new.line:
        return next((text.line.place for text in after.texts.values() if text.words == new.status.text), new.line.place)
    return new.line.place


def _status_changes(table: str, found: list[tuple[tuple[int, str, str, str], Situation]]) -> Iterator[Change]:
    for (result, told_before, told_after, by), situations in _grouped(found).items():
        what = f"result {result_in_words(result)}, {situations_in_words(situations)}"
        yield Change(table, what, told_before, told_after, by)


def _directions(before: Directions, after: Directions) -> Iterator[Change]:
    old, new = _sides(before), _sides(after)
    count = 0
    for key in dict.fromkeys((*old, *new)):
        told_before, told_after = old.get(key, ("no line", NOWHERE)), new.get(key, ("no line", NOWHERE))
        if told_before[0] != told_after[0]:
            count += 1
            yield Change("directions", key, told_before[0], told_after[0], told_after[1])
    if not count and before.effective() != after.effective():
        yield Change("directions", "order of the lines", "as it was", "another", NOWHERE)


def _sides(directions: Directions) -> dict[str, tuple[str, str]]:
    """Subject and pattern: the side, and the first line that says so."""
    sides: dict[str, tuple[str, str]] = {}
    for rule in directions.lines:
        for value in rule.values:
            key = f"{rule.side} digits" if rule.subject == "digits" else f"{rule.subject} {value}"
            sides.setdefault(key, (side_in_words(rule, value), rule.line.place))
    return sides


def side_in_words(rule: SideRule, value: str) -> str:
    """A line's statement about one of its patterns."""
    if rule.subject == "digits":
        return value
    return rule.side or rule.line.columns.get("direction") or "a caller without a number"


def status_in_words(table: StatusTable, status: CrmStatus) -> str:
    """A status with its meaning, and with its text where the table has texts."""
    words = f"{status.code} {table.meaning(status)}"
    if not table.codes.with_text:
        return words
    return f"{words}, {f'“{status.text}”' if status.text else 'no text'}"


def situations_in_words(situations: Iterable[Situation]) -> str:
    """The condition that names these situations, or the conditions of each."""
    wanted = frozenset(situations)
    for condition, covered in CONDITIONS.items():
        if covered == wanted:
            return condition
    each = sorted(wanted, key=SITUATIONS.index)
    return "; ".join(f"{direction}, {'answered' if answered else 'not answered'}" for direction, answered in each)


def _calls() -> Iterator[CallFeatures]:
    return (CallFeatures(result, *situation) for result in RESULT_NAMES for situation in SITUATIONS)


def _grouped(pairs: Iterable[tuple[Key, Member]]) -> dict[Key, list[Member]]:
    groups: dict[Key, list[Member]] = defaultdict(list)
    for key, member in pairs:
        groups[key].append(member)
    return groups
