"""The rules as data: shipped tables, the operator's own lines over them, and a hash that names what is in force."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

from streams.crm.registry import BUILT_IN, registered
from streams.errors import Fault, RulesError
from streams.rules.directions import Directions, build_directions
from streams.rules.lines import Faults, RuleLine
from streams.rules.results import CAUSES, DIAL_STATUSES, RESULT_NAMES, ResultTable, build_literal, build_table
from streams.rules.source import RuleSource, status_codes
from streams.rules.statuses import (
    SITUATIONS,
    CallFeatures,
    CrmStatus,
    StatusRule,
    StatusTable,
    build_statuses,
    name_texts,
    refuse_gaps,
    refuse_unreachable,
)
from streams.rules.texts import FALLBACK, Text, choose_texts
from streams.settings import RuleSettings

__all__ = ["CrmStatus", "Rules", "hash_in_force", "load_directions", "load_rules"]


@dataclass(frozen=True)
class Rules:
    """The rules in force."""

    preset: str
    language: str
    results: ResultTable
    tables: Mapping[str, StatusTable]
    """The status table of each CRM that has one."""
    texts: Mapping[str, Text]
    directions: Directions

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits that change when any call could get another result, status or text.

        Where a line stands in its file is not part of it. The direction patterns are in the site's hash.
        """
        return hashlib.sha256(json.dumps(list(self._effective())).encode()).hexdigest()[:12]

    def _effective(self) -> Iterator[object]:
        yield self.results.last_attempt_decides
        for cause in CAUSES:
            for status in DIAL_STATUSES:
                rule = self.results.rule(cause, status)
                yield rule.words if rule else 0
        for result in RESULT_NAMES:
            for situation in SITUATIONS:
                call = CallFeatures(result, *situation)
                yield tuple(table.to_hash(table.status(call)) for table in self.tables.values())

    def table(self, crm: str) -> StatusTable:
        """A CRM's table. Raises RulesError where it has none that can be used."""
        if crm in self.tables:
            return self.tables[crm]
        raise _shipped_statuses(crm)[1] or RulesError(Fault(crm, None, "this CRM has no status table"))


def load_rules(settings: RuleSettings | None = None) -> Rules:
    """Read the shipped rules and the operator's.

    Raises RulesError with every fault's file, line, reason and allowed values.
    """
    settings = settings or RuleSettings()
    faults, own = Faults(), RuleSource()
    if settings.file:
        own.add_file(settings.file, faults)
    for section in ("results", *status_codes(), "directions"):
        if path := getattr(settings, f"{section}_file", None):
            own.add_file(path, faults, old_names={"statuses": section})
    rules = build_rules(own, settings, faults)
    faults.raise_any()
    return rules


def check_file(path: Path, settings: RuleSettings) -> tuple[RuleSource, tuple[Fault, ...]]:
    """The lines of an operator's file, and everything that is wrong in it, as if it were the only one."""
    faults, own = Faults(), RuleSource()
    own.add_file(path, faults)
    build_rules(own, settings, faults)
    return own, tuple(faults.found)


def load_directions(settings: RuleSettings | None = None) -> Directions:
    """The direction patterns in force. Raises RulesError."""
    return load_rules(settings).directions if settings else _shipped_directions()


@lru_cache
def _shipped_directions() -> Directions:
    return build_directions(shipped_source().directions, [])


@lru_cache
def hash_in_force(tables: str, profile: str) -> str:
    """Twelve hex digits that name everything calls were classified by: the tables' hash and the PBX profile's."""
    return hashlib.sha256(f"{tables} {profile}".encode()).hexdigest()[:12]


def build_rules(own: RuleSource, settings: RuleSettings, faults: Faults) -> Rules:
    """The rules that the operator's lines give over the shipped ones."""
    shipped = shipped_source()
    preset = own.preset or settings.preset
    language = own.language.word() if own.language else settings.language
    known_languages = list(dict.fromkeys(text.language for text in (*shipped.texts, *own.texts)))
    with faults.gathered():
        if language not in known_languages:
            if own.language:
                own.language.place.refuse(f"unknown language {language!r}", known_languages)
            raise RulesError(Fault("rules.language", None, f"no texts in {language!r}", tuple(known_languages)))
    texts = choose_texts((*shipped.texts, *own.texts), language)
    if not faults.found:  # a line that could not be read may use it
        _refuse_unused(own, shipped, faults)
    return Rules(
        preset=preset,
        language=language,
        results=build_literal(shipped.results, own.results)
        if preset == "literal"
        else build_table(shipped.results, own.results, faults),
        tables=_build_tables(own, shipped, texts, preset, faults),
        texts=texts,
        directions=build_directions(shipped.directions, own.directions),
    )


def _refuse_unused(own: RuleSource, shipped: RuleSource, faults: Faults) -> None:
    """A text that no line uses is a misspelt name."""
    tables = (*shipped.statuses.values(), *own.statuses.values())
    used = dict.fromkeys(rule.status.text for rules in tables for rule in rules)
    for text in own.texts:
        with faults.gathered():
            if text.name not in used:
                text.line.refuse(f"no line uses the text {text.name!r}", filter(None, used))


@lru_cache
def shipped_source() -> RuleSource:
    """The rules that come with the product and with the CRMs of other packages."""
    source = replace(_own_tables(), statuses={})
    for name in status_codes():
        rules, error = _shipped_statuses(name)
        if error is None:
            source.statuses[name] = rules
    return source


@lru_cache
def _own_tables() -> RuleSource:
    faults, source = Faults(), RuleSource()
    for name in ("results", "texts", "directions"):
        source.add(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml", faults)
    faults.raise_any()
    return source


@lru_cache
def _shipped_statuses(crm: str) -> tuple[list[StatusRule], RulesError | None]:
    """A CRM's own lines; or why they cannot be used, which is nobody's matter but that CRM's."""
    codes = status_codes().get(crm)
    if codes is None:
        return [], None
    faults, source = Faults(), RuleSource()
    with faults.gathered():
        try:
            source.add(codes.read(), codes.file, faults)
        except (OSError, ImportError, UnicodeDecodeError) as error:
            raise RulesError(Fault(f"{codes.package}/{codes.file}", None, f"cannot be read: {error}")) from None
    rules = source.statuses.get(crm, [])
    name_texts(rules, choose_texts(_own_tables().texts, FALLBACK), faults)
    refuse_unreachable(rules, faults)
    with faults.gathered():
        refuse_gaps(rules, RuleLine(codes.file, 1))
    if faults.found and crm in BUILT_IN:
        faults.raise_any()
    return rules, RulesError(*faults.found) if faults.found else None


def _build_tables(
    own: RuleSource, shipped: RuleSource, texts: Mapping[str, Text], preset: str, faults: Faults
) -> dict[str, StatusTable]:
    kinds = registered().kinds
    tables = {}
    for name, rules in shipped.statuses.items():
        parts = (own.statuses.get(name, []), _preset_lines(name, preset), rules)
        named = [name_texts(each, texts, faults) for each in parts]
        tables[name] = build_statuses(kinds[name].title, status_codes()[name], named, faults)
    return tables


@lru_cache
def _preset_lines(crm: str, preset: str) -> list[StatusRule]:
    """The lines that a preset puts before a CRM's own."""
    codes, faults, source = status_codes()[crm], Faults(), RuleSource()
    if (file := codes.presets.get(preset)) is not None:
        source.add(codes.read(file), file, faults)
        faults.raise_any()
    return source.statuses.get(crm, [])
