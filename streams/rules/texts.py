"""The texts that a CRM's user reads, by language and name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from streams.rules.lines import Faults, RuleLine, Section

FALLBACK = "en"
"""A language without a text has it in English."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text, and where it stands."""

    line: RuleLine
    language: str
    name: str
    words: str


def read_texts(section: Section, faults: Faults) -> list[Text]:
    """The texts of a section: languages, and in each, names and words."""
    texts: list[Text] = []
    with faults.gathered():
        for language in section.entries():
            with faults.gathered():
                for entry in language.entries():
                    with faults.gathered():
                        texts.append(_text(language.name, entry))
    return texts


def choose_texts(texts: Iterable[Text], language: str) -> Mapping[str, Text]:
    """The texts of a language by name, in English where it has none; of two, the later."""
    chosen: dict[str, Text] = {}
    for wanted in (FALLBACK, language):
        chosen |= {text.name: text for text in texts if text.language == wanted}
    return chosen


def _text(language: str, entry: Section) -> Text:
    words = entry.node.value if isinstance(entry.node, yaml.ScalarNode) else ""
    if not words.strip():
        entry.place.refuse(f"text {entry.name!r} in {language!r} has no words")
    return Text(entry.place, language, entry.name, words)
