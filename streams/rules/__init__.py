"""The rules as data: shipped tables, the operator's own lines over them, and a hash that names what is in force."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

from streams.errors import RulesError
from streams.rules.directions import Directions, SideRule, build_directions, read_directions
from streams.rules.results import CAUSES, DIAL_STATUSES, ResultTable, build_literal, build_table, read_results
from streams.rules.statuses import (
    KommoStatus,
    StatusTable,
    build_statuses,
    read_bitrix24,
    read_kommo,
    read_texts,
)
from streams.settings import RuleSettings

__all__ = ["KommoStatus", "Rules", "hash_in_force", "load_directions", "load_rules"]


@dataclass(frozen=True)
class Rules:
    """The rules in force."""

    results: ResultTable
    bitrix24: StatusTable[str]
    kommo: StatusTable[KommoStatus]

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits that change when any call could get another outcome."""
        return hashlib.sha256(json.dumps(list(self._effective())).encode()).hexdigest()[:12]

    def _effective(self) -> Iterator[object]:
        yield self.results.last_attempt_decides
        for cause in CAUSES:
            for status in DIAL_STATUSES:
                rule = self.results.rule(cause, status)
                yield rule.result if rule else 0
        for table in (self.bitrix24, self.kommo):
            for line in table.rules:
                yield sorted(line.results), line.when, line.status


def load_rules(settings: RuleSettings | None = None) -> Rules:
    """Read the shipped rules and the operator's.

    Raises RulesError with file, line, reason and the allowed values.
    """
    settings = settings or RuleSettings()
    own_results = _own(settings.results_file)
    shipped_results = read_results(*_shipped("results.yaml"))
    if settings.preset == "literal":
        results = build_literal([*(read_results(*own_results) if own_results else []), *shipped_results])
    else:
        results = build_table(shipped_results, read_results(*own_results) if own_results else [])
    texts = read_texts(*_shipped("texts.yaml"), settings.language)
    own_bitrix24, own_kommo = _own(settings.bitrix24_file), _own(settings.kommo_file)
    return Rules(
        results,
        build_statuses(read_bitrix24(*_shipped("bitrix24.yaml")), read_bitrix24(*own_bitrix24) if own_bitrix24 else []),
        build_statuses(read_kommo(*_shipped("kommo.yaml"), texts), read_kommo(*own_kommo, texts) if own_kommo else []),
    )


def load_directions(settings: RuleSettings | None = None) -> Directions:
    """Read the shipped direction patterns and the operator's. Raises RulesError."""
    own = _own(settings.directions_file if settings else None)
    return build_directions(_shipped_directions(), read_directions(*own) if own else [])


@lru_cache
def hash_in_force(tables: str, site: str) -> str:
    """Twelve hex digits that name everything calls were judged by: the tables' hash and the site's."""
    return hashlib.sha256(f"{tables} {site}".encode()).hexdigest()[:12]


@lru_cache
def _shipped_directions() -> list[SideRule]:
    return read_directions(*_shipped("directions.yaml"))


def _shipped(name: str) -> tuple[str, str]:
    return files(__name__).joinpath(name).read_text(encoding="utf-8"), name


def _own(path: Path | None) -> tuple[str, str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"cannot read the rule file {path}: {getattr(error, 'strerror', None) or error}") from None
