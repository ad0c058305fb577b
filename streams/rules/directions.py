"""Direction patterns: which contexts, endpoints and numbers are inside the PBX, and which outside."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal, cast, get_args

from streams.rules.lines import Faults, RuleLine, Section

Side = Literal["inside", "outside"]
SIDES: tuple[Side, ...] = get_args(Side)

DIRECTIONS = ("incoming", "outgoing", "internal", "forwarded")
"""Directions that a user event tells; after one that tells of a forwarded call, outgoing ones no longer count."""

SUBJECTS = ("context", "endpoint", "number", "digits", "no_number", "event")
"""The subjects of lines; each line has one."""


@dataclass(frozen=True, slots=True)
class SideRule:
    """One line: what it is about, and the side that it tells."""

    line: RuleLine
    subject: str
    values: tuple[str, ...]
    side: Side | None
    """The side of the party. `event` and `no_number` have none."""
    matches: Callable[[str], object]
    """Whether a context, an endpoint or a number fits."""


@dataclass(frozen=True, slots=True)
class Directions:
    """The lines in force; the operator's stand before the shipped ones."""

    lines: tuple[SideRule, ...]
    contexts: tuple[SideRule, ...]
    endpoints: tuple[SideRule, ...]
    numbers: tuple[SideRule, ...]
    inside_digits: range
    outside_digits: range
    no_number: frozenset[str]
    events: dict[str, SideRule]
    """User events that tell a call's direction, by name; the first one that a call logged decides."""

    def of_context(self, context: str) -> SideRule | None:
        """The line that tells a context's side."""
        return _first(self.contexts, context)

    def of_endpoint(self, endpoint: str) -> SideRule | None:
        """The line that tells an endpoint's side."""
        return _first(self.endpoints, endpoint)

    def of_number(self, number: str) -> SideRule | None:
        """The line that tells a number's side."""
        return _first(self.numbers, number)

    def effective(self) -> list[object]:
        """Everything that can change an outcome, for the hash."""
        lines = [(each.subject, each.values, each.side) for each in (*self.contexts, *self.endpoints, *self.numbers)]
        digits = [(each.start, each.stop) for each in (self.inside_digits, self.outside_digits)]
        events = [(event, rule.line.columns["direction"]) for event, rule in self.events.items()]
        return [lines, digits, sorted(self.no_number), events]


def read_directions(section: Section, faults: Faults) -> list[SideRule]:
    """The lines of a section."""
    return section.table((*SUBJECTS, "side", "direction"), (), _rule, faults)


def build_directions(shipped: list[SideRule], own: list[SideRule]) -> Directions:
    """The patterns in force: the operator's lines before the shipped ones."""
    rules = (*own, *shipped)

    def about(subject: str) -> tuple[SideRule, ...]:
        return tuple(rule for rule in rules if rule.subject == subject)

    def digits(side: Side) -> range:
        return _range(next(rule for rule in about("digits") if rule.side == side))

    return Directions(
        lines=rules,
        contexts=about("context"),
        endpoints=about("endpoint"),
        numbers=about("number"),
        inside_digits=digits("inside"),
        outside_digits=digits("outside"),
        events=_first_by_value(about("event")),
        no_number=frozenset(word.lower() for rule in about("no_number") for word in rule.values),
    )


def _first_by_value(rules: Iterable[SideRule]) -> dict[str, SideRule]:
    found: dict[str, SideRule] = {}
    for rule in rules:
        for value in rule.values:
            found.setdefault(value, rule)
    return found


def _first(rules: Iterable[SideRule], name: str) -> SideRule | None:
    return next((rule for rule in rules if rule.matches(name)), None)


def _rule(line: RuleLine) -> SideRule:
    subjects = [subject for subject in SUBJECTS if subject in line.columns]
    if len(subjects) != 1:
        line.refuse("a line is about one subject", SUBJECTS)
    subject = subjects[0]
    values = tuple(str(value) for value in line.many(subject) if isinstance(value, str | int))
    if not values or len(values) != len(line.many(subject)):
        line.refuse(f"{subject} holds no text or list of texts")
    side = line.columns.get("side")
    direction = line.columns.get("direction")
    if subject == "event" and direction not in DIRECTIONS:
        line.refuse(f"unknown direction {direction!r}", DIRECTIONS)
    if subject != "event" and direction is not None:
        line.refuse("only an event has a direction")
    if subject in ("no_number", "event"):
        if side is not None:
            line.refuse(f"{subject} has no side")
        return SideRule(line, subject, values, None, lambda _: False)
    if side not in SIDES:
        line.refuse(f"unknown side {side!r}", SIDES)
    rule = SideRule(line, subject, values, cast(Side, side), _matcher(line, subject, values))
    if subject == "digits":
        _range(rule)
    return rule


def _matcher(line: RuleLine, subject: str, values: tuple[str, ...]) -> Callable[[str], object]:
    if subject == "digits":
        return lambda _: False
    try:
        if subject == "number":
            patterns = [f"(?:{re.compile(value).pattern})" for value in values]
        else:
            after = "(?:-.*)?" if subject == "context" else ""  # instead of translate's own end of text
            patterns = [translate(value)[:-2] + after for value in values]
        return re.compile("|".join(patterns)).fullmatch
    except re.error as error:
        line.refuse(f"no regular expression: {error}")


def _range(rule: SideRule) -> range:
    least, _, most = rule.values[0].partition("-")
    if len(rule.values) == 1 and least.isdecimal() and (most or least).isdecimal():
        lengths = range(int(least), int(most or least) + 1)
    else:
        lengths = range(0)
    if not lengths or lengths[0] < 1 or lengths[-1] > 20:
        wanted = "a range such as 1-4, within 1 to 20"
        rule.line.refuse(f"{', '.join(rule.values)!r} is not a number of digits", [wanted])
    return lengths
