"""The CRMs of this installation: the built-in ones, and those that other packages bring (entry points `cel2crm.crms`).

A built-in CRM wins over a plugin of the same name. A plugin that cannot be used stops its own worker and nothing else:
it is kept with the reason, and the commands that list CRMs name it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from streams.crm.kind import CONTRACT, CrmKind
from streams.errors import UserError

GROUP = "cel2crm.crms"
"""The group of entry points: `<name of the CRM> = "<module>:<attribute that is a CrmKind>"`."""

BUILT_IN = ("bitrix24", "kommo", "webhook")
"""Folders of streams/crm, in the order in which commands list them."""

TAKEN = frozenset({"aggregate", "preset", "language", "results", "texts", "directions", "matrix"})
"""A worker, and sections of rule files."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Every CRM by name: the built-in ones first, then plugins in the order of their names."""

    kinds: Mapping[str, CrmKind]
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Plugins that cannot be used, and why."""
    warnings: tuple[str, ...] = ()
    """Further remarks about plugins, for an operator."""

    def kind(self, name: str) -> CrmKind:
        """One CRM. Raises UserError: there is none of that name, or its plugin cannot be used."""
        if name in self.kinds:
            return self.kinds[name]
        if name in self.unusable:
            raise UserError(
                f"CRM {name} cannot be used: {self.unusable[name]}", "Mend, update or uninstall its package."
            )
        raise UserError(f"there is no CRM {name}", f"Known: {', '.join(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The CRMs that can be used, and then those that cannot."""
        return (*self.kinds, *self.unusable)

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong with plugins, a sentence each."""
        return (*(f"CRM {name} cannot be used: {why}" for name, why in self.unusable.items()), *self.warnings)


@cache
def registered() -> Registry:
    """The CRMs of this installation, found once a process."""
    return build_registry(entry_points(group=GROUP))


def kind_of(name: str) -> CrmKind:
    """One CRM of this installation. Raises UserError (Registry.kind)."""
    return registered().kind(name)


def build_registry(plugins: Iterable[EntryPoint]) -> Registry:
    """The registry of the built-in CRMs and these plugins. A plugin's fault is kept, never raised."""
    kinds = {name: _built_in(name) for name in BUILT_IN}
    unusable: dict[str, str] = {}
    warnings: list[str] = []
    for name, entries in sorted(_by_name(plugins).items()):
        if name in kinds:
            warnings.append(f"{_packages(entries)} offers a CRM {name}, which is built in: the built-in one is used")
            continue
        try:
            kinds[name] = _plugin(name, entries)
        except Exception as error:  # whatever a foreign package raises, the other CRMs go on
            unusable[name] = str(error) if isinstance(error, _Unusable) else f"{_packages(entries)}: {error!r}"
    return Registry(kinds, unusable, tuple(warnings))


def load(reference: str) -> object:
    """The object that `module:attribute` names.

    Raises whatever its import raises, AttributeError where it is not there.
    """
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def load_of(crm: str, reference: str, cannot: str) -> object:
    """The object that a CRM's kind names. Raises UserError: one sentence, whatever a foreign package raises.

    `cannot`: what cannot be done then, such as `be used`.
    """
    try:
        return load(reference)
    except Exception as error:
        raise UserError(f"CRM {crm} cannot {cannot}: {reference} cannot be imported: {error!r}") from error


class _Unusable(Exception):
    """Why a plugin cannot be used."""


def _built_in(name: str) -> CrmKind:
    kind = load(f"streams.crm.{name}.kind:KIND")
    assert isinstance(kind, CrmKind)  # noqa: S101 (ours)
    return kind


def _plugin(name: str, entries: list[EntryPoint]) -> CrmKind:
    where = _packages(entries)
    if len(entries) > 1:
        raise _Unusable(f"several packages offer it ({where}): uninstall all but one")
    if name in TAKEN:
        raise _Unusable(f"{where} uses a name that means something else here: it needs another one")
    kind = entries[0].load()
    contract = getattr(kind, "contract", None)
    if contract != CONTRACT:
        raise _Unusable(f"{where} was written for contract {contract}, and this cel2crm has contract {CONTRACT}")
    if not isinstance(kind, CrmKind):
        raise _Unusable(f"{where}: {entries[0].value} is not a CrmKind")
    if kind.name != name:
        raise _Unusable(f"{where}: its entry point is called {name}, and its kind {kind.name}")
    return kind


def _by_name(plugins: Iterable[EntryPoint]) -> dict[str, list[EntryPoint]]:
    """Several entries of one name, unless a package is found twice."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for entry in plugins:
        found.setdefault(entry.name, {})[_package(entry), entry.value] = entry
    return {name: [entries[key] for key in sorted(entries)] for name, entries in found.items()}


def _packages(entries: list[EntryPoint]) -> str:
    return ", ".join(dict.fromkeys(map(_package, entries)))


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module
