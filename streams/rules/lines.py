"""Rule files: YAML of which every line knows its place, so that a mistake is told with file and line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from streams.errors import RulesError


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One line of a table: its columns, and where it stands."""

    file: str
    line: int
    columns: dict[str, Any]

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def refuse(self, reason: str, allowed: Iterable[object] = ()) -> NoReturn:
        """Raise the error about this line."""
        choices = ", ".join(str(each) for each in allowed)
        raise RulesError(f"{self.place}: {reason}", f"Allowed: {choices}." if choices else "")

    def many(self, column: str) -> list[Any]:
        """The column's values: one alone is a list of one."""
        value = self.columns[column]
        return value if isinstance(value, list) else [value]


def read_lines(text: str, file: str, section: str, columns: Iterable[str], required: Iterable[str]) -> list[RuleLine]:
    """The lines of `section`, each a mapping with no other than `columns` and all of `required`.

    Raises RulesError with file, line and reason.
    """
    return list(_lines(text, file, section, set(columns), list(required)))


def _lines(text: str, file: str, section: str, columns: set[str], required: list[str]) -> Iterator[RuleLine]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise RulesError(f"{file} is not valid YAML: {error}") from None
    tables = {key.value: node for key, node in root.value} if isinstance(root, yaml.MappingNode) else {}
    if set(tables) != {section} or not isinstance(tables[section], yaml.SequenceNode):
        raise RulesError(f"{file} must hold one list named {section!r}")
    for node in tables[section].value:
        value = _plain(node)
        place = RuleLine(file, node.start_mark.line + 1, value if isinstance(value, dict) else {})
        if not isinstance(value, dict):
            place.refuse("not a mapping of columns to values", columns)
        if unknown := sorted(map(str, set(value) - columns)):
            place.refuse(f"unknown column {', '.join(unknown)}", sorted(columns))
        if missing := [column for column in required if column not in value]:
            place.refuse(f"column {', '.join(missing)} is missing")
        yield place


def _plain(node: yaml.Node) -> object:
    constructor = yaml.SafeLoader("")
    return constructor.construct_document(node)
