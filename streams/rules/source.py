"""The lines of one or several rule files, read but not yet put in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streams.crm.kind import StatusCodes
from streams.crm.registry import registered
from streams.errors import Fault, RulesError
from streams.rules.directions import SideRule, read_directions
from streams.rules.lines import Faults, Section, read_sections
from streams.rules.results import ResultRule, read_results
from streams.rules.statuses import StatusRule, read_statuses
from streams.rules.texts import Text, read_texts

PRESETS = ("default", "literal", "missed_is_304")


def status_codes() -> dict[str, StatusCodes]:
    """The statuses of each registered CRM that has a table."""
    return {name: kind.statuses for name, kind in registered().kinds.items() if kind.statuses is not None}


def table_sections() -> tuple[str, ...]:
    """The sections that are lists or mappings of lines."""
    return ("results", *status_codes(), "texts", "directions")


def sections() -> tuple[str, ...]:
    """The sections that a rule file may hold; each is optional."""
    return ("preset", "language", *table_sections())


@dataclass(slots=True)
class RuleSource:
    """The lines of rule files, in order."""

    preset: str | None = None
    language: Section | None = None
    results: list[ResultRule] = field(default_factory=list)
    statuses: dict[str, list[StatusRule]] = field(default_factory=dict)
    """By CRM; their texts by name."""
    texts: list[Text] = field(default_factory=list)
    directions: list[SideRule] = field(default_factory=list)

    def add(self, text: str, file: str, faults: Faults, *, old_names: Mapping[str, str] | None = None) -> None:
        """Append the lines of a file. `old_names`: section names that this file may spell otherwise."""
        old_names = old_names or {}
        # Lines for a CRM whose plugin cannot be used now must not stop the workers of the others.
        known = (*sections(), *old_names, *registered().unusable)
        for name, section in read_sections(text, file, known, faults).items():
            with faults.gathered():
                self._take(old_names.get(name, name), section, faults)

    def add_file(self, path: Path, faults: Faults, *, old_names: Mapping[str, str] | None = None) -> None:
        """Append the lines of an operator's file."""
        with faults.gathered():
            self.add(_text_of(path), str(path), faults, old_names=old_names)

    @property
    def summary(self) -> str:
        """How many lines of which section."""
        lines: dict[str, Sequence[object]] = {
            "results": self.results,
            "texts": self.texts,
            "directions": self.directions,
            **self.statuses,
        }
        told = [f"{len(lines[name])} in {name}" for name in table_sections() if lines.get(name)]
        told += [f"preset {self.preset}"] if self.preset else []
        told += [f"language {self.language.word()}"] if self.language else []
        return ", ".join(told) or "no line of its own"

    def _take(self, name: str, section: Section, faults: Faults) -> None:
        if name == "preset":
            self.preset = section.word(PRESETS)
        elif name == "language":
            section.word()
            self.language = section
        elif name == "results":
            self.results += read_results(section, faults)
        elif name == "texts":
            self.texts += read_texts(section, faults)
        elif name == "directions":
            self.directions += read_directions(section, faults)
        elif (codes := status_codes().get(name)) is not None:
            title = registered().kinds[name].title
            self.statuses.setdefault(name, []).extend(read_statuses(section, title, codes, faults))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RulesError(Fault(str(path), None, f"not UTF-8: {error.reason} at byte {error.start}")) from None
    except OSError as error:
        raise RulesError(Fault(str(path), None, f"cannot be read: {error.strerror}")) from None
