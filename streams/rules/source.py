"""What one or several rule files hold, read line by line but not yet put in force."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streams.errors import Fault, RulesError
from streams.rules.directions import SideRule, read_directions
from streams.rules.lines import Faults, Section, read_sections
from streams.rules.results import ResultRule, read_results
from streams.rules.statuses import KommoStatus, StatusRule, read_bitrix24, read_kommo
from streams.rules.texts import Text, read_texts

PRESETS = ("default", "literal")

SECTIONS = ("preset", "language", "results", "bitrix24", "kommo", "texts", "directions")
"""What a rule file may hold; each is optional."""


@dataclass(slots=True)
class RuleSource:
    """The lines of rule files, in order."""

    preset: str | None = None
    language: Section | None = None
    results: list[ResultRule] = field(default_factory=list)
    bitrix24: list[StatusRule[str]] = field(default_factory=list)
    kommo: list[StatusRule[KommoStatus]] = field(default_factory=list)
    """Their texts by name."""
    texts: list[Text] = field(default_factory=list)
    directions: list[SideRule] = field(default_factory=list)

    def add(self, text: str, file: str, faults: Faults, *, old_names: Mapping[str, str] | None = None) -> None:
        """Append the lines of a file. `old_names`: section names that this file may spell otherwise."""
        old_names = old_names or {}
        for name, section in read_sections(text, file, (*SECTIONS, *old_names), faults).items():
            with faults.gathered():
                self._take(old_names.get(name, name), section, faults)

    def add_file(self, path: Path, faults: Faults, *, old_names: Mapping[str, str] | None = None) -> None:
        """Append the lines of an operator's file."""
        with faults.gathered():
            self.add(_text_of(path), str(path), faults, old_names=old_names)

    @property
    def summary(self) -> str:
        """How many lines of which section."""
        counts = [(name, len(getattr(self, name))) for name in SECTIONS[2:]]
        told = [f"{count} in {name}" for name, count in counts if count]
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
        elif name == "bitrix24":
            self.bitrix24 += read_bitrix24(section, faults)
        elif name == "kommo":
            self.kommo += read_kommo(section, faults)
        elif name == "texts":
            self.texts += read_texts(section, faults)
        else:
            self.directions += read_directions(section, faults)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RulesError(Fault(str(path), None, f"no UTF-8: {error.reason} at byte {error.start}")) from None
    except OSError as error:
        raise RulesError(Fault(str(path), None, f"cannot be read: {error.strerror}")) from None
