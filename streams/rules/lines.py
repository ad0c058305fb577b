"""Rule files: YAML of which every line knows its place, so that a mistake is told with file and line."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import yaml

from streams.errors import Fault, RulesError

Rule = TypeVar("Rule")


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One line of a table: its columns, and where it stands."""

    file: str
    line: int
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def refuse(self, reason: str, allowed: Iterable[object] = ()) -> NoReturn:
        """Raise the error about this line."""
        raise RulesError(Fault(self.file, self.line, reason, tuple(map(str, allowed))))

    def many(self, column: str) -> list[Any]:
        """The column's values: one alone is a list of one."""
        value = self.columns[column]
        return value if isinstance(value, list) else [value]


class Faults:
    """The faults of rule files, gathered so that a user is told all of them at once."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """The fault that the body meets is noted, and ends the body alone."""
        try:
            yield
        except RulesError as error:
            self.found += error.faults

    def raise_any(self) -> None:
        """Raise RulesError if there were any."""
        if self.found:
            raise RulesError(*self.found)


@dataclass(frozen=True, slots=True)
class Section:
    """One of the named parts of a rule file."""

    name: str
    place: RuleLine
    node: yaml.Node

    def table(
        self,
        columns: Iterable[str],
        required: Iterable[str],
        rule_of: Callable[[RuleLine], Rule],
        faults: Faults,
    ) -> list[Rule]:
        """The rules of a list of lines, each with no other than `columns` and all of `required`."""
        allowed, needed, rules = list(columns), list(required), []
        with faults.gathered():
            if not isinstance(self.node, yaml.SequenceNode):
                self.place.refuse(f"{self.name} must be a list of lines such as `- {{{': ..., '.join(allowed)}: ...}}`")
            for node in self.node.value:
                with faults.gathered():
                    rules.append(rule_of(_line(node, self.place.file, allowed, needed)))
        return rules

    def word(self, allowed: Iterable[str] = ()) -> str:
        """The single word that a section without lines holds. Raises RulesError."""
        choices = list(allowed)
        word = self.node.value if isinstance(self.node, yaml.ScalarNode) else ""
        if not word or (choices and word not in choices):
            self.place.refuse(f"unknown {self.name} {word!r}", choices)
        return str(word)

    def entries(self) -> Iterator["Section"]:
        """The named parts of this one. Raises RulesError."""
        return named_parts(self.node, self.place, self.name)


def read_sections(text: str, file: str, known: Iterable[str], faults: Faults) -> dict[str, Section]:
    """The sections of a rule file, all of them `known`."""
    allowed, sections = list(known), {}
    with faults.gathered():
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or error
            raise RulesError(Fault(file, mark.line + 1 if mark else None, f"not valid YAML: {reason}")) from None
        if root is None:
            return {}
        for section in named_parts(root, RuleLine(file, 1), "a rule file", allowed):
            with faults.gathered():
                if section.name not in allowed:
                    section.place.refuse(f"unknown section {section.name!r}", allowed)
                sections[section.name] = section
    return sections


def named_parts(node: yaml.Node, place: RuleLine, what: str, names: Iterable[str] = ()) -> Iterator[Section]:
    """A mapping's parts, each with its place; an empty one has none. Raises RulesError."""
    if isinstance(node, yaml.ScalarNode) and node.value == "":
        return
    if not isinstance(node, yaml.MappingNode):
        place.refuse(f"{what} must hold names, each with a colon", names)
    seen: set[str] = set()
    for key, value in node.value:
        part = RuleLine(place.file, key.start_mark.line + 1)
        if not isinstance(key, yaml.ScalarNode):
            part.refuse("a list or a mapping is not a name")
        if key.value in seen:
            part.refuse(f"{key.value!r} stands here twice")
        seen.add(key.value)
        yield Section(key.value, part, value)


def _line(node: yaml.Node, file: str, columns: list[str], required: list[str]) -> RuleLine:
    place = RuleLine(file, node.start_mark.line + 1)
    if not isinstance(node, yaml.MappingNode):
        place.refuse("not a mapping of columns to values", columns)
    parts = list(named_parts(node, place, "a line"))
    if unknown := sorted(part.name for part in parts if part.name not in columns):
        place.refuse(f"unknown column {', '.join(unknown)}", columns)
    if missing := [column for column in required if column not in {part.name for part in parts}]:
        place.refuse(f"column {', '.join(missing)} is missing")
    return RuleLine(file, place.line, {part.name: _plain(part) for part in parts})


def _plain(part: Section) -> object:
    try:
        return yaml.SafeLoader("").construct_document(part.node)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-99-99
        part.place.refuse(f"{part.name}: {getattr(error, 'problem', None) or error}")
