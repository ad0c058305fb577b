"""The CRMs of an installation: the built-in ones, plugins, and plugins that cannot be used."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.crm import registry
from streams.crm.kind import CrmKind, Rate, StatusCodes
from streams.crm.registry import BUILT_IN, GROUP, Registry, build_registry, registered
from streams.crm.shared.adapter import adapter_of, plan_of
from streams.errors import RulesError, UserError
from streams.rules import Rules, load_rules, shipped_source
from streams.settings import PortalSettings
from tests.rules.files import rules_of

DESK = CrmKind(
    contract=1,
    name="desk",
    title="Desk",
    summary="Deliver to Desk.",
    adapter="tests.crm.test_registry:NOTHING",
    rate=Rate(burst=1, per_second=1),
)
NOTHING = None


def plugin(
    offer: Callable[[], object], name: str = "desk", package: str = "cel2crm-desk", value: str = "desk.kind:KIND"
) -> EntryPoint:
    """The entry point of a package that is not installed; `offer` is what its import does."""

    class Offered(EntryPoint):
        dist = cast(Distribution, SimpleNamespace(name=package))

        def load(self) -> object:
            return offer()

    return Offered(name, value, GROUP)


def made(*plugins: EntryPoint) -> Registry:
    return build_registry(plugins)


def desk(**fields: Any) -> CrmKind:
    return replace(DESK, **fields)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Registry], None]]:
    """Makes a registry that of the installation, for this test."""

    def install(found: Registry) -> None:
        registry.registered.cache_clear()
        monkeypatch.setattr(registry, "entry_points", lambda group: [])
        monkeypatch.setattr(registry, "build_registry", lambda plugins: found)
        _forget_rules()

    yield install
    monkeypatch.undo()
    registry.registered.cache_clear()
    _forget_rules()


def _forget_rules() -> None:
    from streams import rules

    shipped_source.cache_clear()
    rules._shipped_statuses.cache_clear()


def test_the_built_in_crms_come_first_and_plugins_after_them() -> None:
    assert tuple(made().kinds) == BUILT_IN == ("bitrix24", "kommo", "webhook")
    found = made(plugin(lambda: desk(name="zebra"), "zebra", value="z:K"), plugin(lambda: DESK))
    assert found.names == (*BUILT_IN, "desk", "zebra")
    assert found.kind("desk") is DESK and found.problems == ()


def test_a_built_in_crm_wins_over_a_plugin_of_its_name_and_it_is_said() -> None:
    found = made(plugin(lambda: desk(name="kommo"), "kommo"))
    assert found.kind("kommo").title == "Kommo"
    assert found.problems == ("cel2crm-desk offers a CRM kommo, which is built in: the built-in one is used",)


def broken() -> object:
    raise ImportError("no module named desk_api")


@pytest.mark.parametrize(
    ("plugins", "why"),
    [
        ([plugin(broken)], "cel2crm-desk: ImportError('no module named desk_api')"),
        (
            [plugin(lambda: desk(contract=2))],
            "cel2crm-desk was written for contract 2, and this cel2crm has contract 1",
        ),
        ([plugin(lambda: "desk")], "cel2crm-desk was written for contract None"),
        ([plugin(lambda: desk(name="other"))], "its entry point is called desk, and its kind other"),
        ([plugin(lambda: desk(name="Desk!"))], "'Desk!' is not a CRM's name"),
        ([plugin(lambda: desk(revisions=("note",)))], "the first of its revisions must be keep"),
        ([plugin(lambda: desk(longest_external_id=10))], "longest_external_id is below 56"),
        (
            [plugin(lambda: DESK), plugin(lambda: DESK, package="desk-2")],
            "several packages offer it (cel2crm-desk, desk-2)",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_stops_nothing_but_itself(plugins: list[EntryPoint], why: str) -> None:
    found = made(*plugins)
    assert tuple(found.kinds) == BUILT_IN
    with pytest.raises(UserError, match="CRM desk cannot be used") as refused:
        found.kind("desk")
    assert why in refused.value.problem and any(why in problem for problem in found.problems)
    assert refused.value.remedy


def test_a_package_that_is_found_twice_is_one_package() -> None:
    assert made(plugin(lambda: DESK), plugin(lambda: DESK)).kind("desk") is DESK


@pytest.mark.parametrize("name", ["aggregate", "results"])
def test_a_name_that_is_a_worker_or_a_section_of_rules_is_refused(name: str) -> None:
    assert "means something else" in made(plugin(lambda: desk(name=name), name)).unusable[name]


def test_a_crm_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UserError, match="there is no CRM pipe") as refused:
        made(plugin(broken)).kind("pipe")
    assert refused.value.remedy == "Known: bitrix24, kommo, webhook, desk."


def test_settings_of_a_crm_that_cannot_be_used_stop_no_other_worker(installed: Callable[[Registry], None]) -> None:
    installed(made(plugin(broken)))
    portal = PortalSettings(name="main", crm="desk", unknown_number="whatever", options={"board": "calls"})
    with pytest.raises(UserError, match="CRM desk cannot be used"):
        _ = portal.rate
    assert rules_of("desk:\n  - {result: 200, status: 1}\n").hash == load_rules().hash


@pytest.mark.parametrize(
    ("crm", "words"),
    [
        ("bitrix24", "known: crm_source, line_of, lines|known: crm_source, lines, line_of"),
        ("kommo", "known: pipeline_id, source"),
        ("webhook", "this CRM has no options"),
    ],
)
def test_a_built_in_crm_says_which_options_it_has(crm: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"portal main: options: unknown: board; ({words})"):
        PortalSettings(name="main", crm=crm, options={"board": "calls"})


def test_a_plugins_own_check_says_which_options_are_good(installed: Callable[[Registry], None]) -> None:
    def check(options: Any) -> None:
        if set(options) != {"board"}:
            raise ValueError("board is missing")

    installed(made(plugin(lambda: desk(check_options=check))))
    assert PortalSettings(name="main", crm="desk", options={"board": "calls"}).options == {"board": "calls"}
    with pytest.raises(ValueError, match="portal main: options: board is missing"):
        PortalSettings(name="main", crm="desk")


def with_table(lines: str, tmp_path: Path, **codes: Any) -> CrmKind:
    package = tmp_path / "deskpackage"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "desk.yaml").write_text(lines, encoding="utf-8")
    meanings: dict[str | int, str] = {"ok": "talked", "missed": "missed"}
    return desk(statuses=StatusCodes(meanings=meanings, package="deskpackage", file="desk.yaml", **codes))


GOOD = "desk:\n  - {result: 0, when: answered, status: ok}\n  - {result: 0, status: missed}\n"


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("deskpackage", None)


def test_a_plugins_table_is_one_of_the_rules(installed: Callable[[Registry], None], importable: Path) -> None:
    before = load_rules()
    kind = with_table(GOOD, importable)
    installed(made(plugin(lambda: kind)))
    rules: Rules = load_rules()
    assert tuple(rules.tables) == ("bitrix24", "kommo", "desk")
    assert rules.hash != before.hash  # a call can now get a status that it could not get before
    own = rules_of("desk:\n  - {result: 486, status: ok}\n")
    assert own.tables["desk"].rules[0].results == {486} and own.hash != rules.hash


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("desk:\n  - {result: 0, status: lost}\n", "desk.yaml:2: unknown Desk status 'lost'"),
        ("desk:\n  - {result: 0, when: answered, status: ok}\n", "result 0 has no line for: incoming, not answered"),
        (GOOD + "  - {result: 0, status: ok}\n", "desk.yaml:4: result 0, always: already decided"),
        ("desk: [", "not valid YAML"),
        ("", "result 0 has no line for"),
    ],
)
def test_a_plugins_table_with_a_fault_stops_its_own_worker_only(
    installed: Callable[[Registry], None], importable: Path, lines: str, why: str
) -> None:
    before = load_rules().hash
    kind = with_table(lines, importable)
    installed(made(plugin(lambda: kind)))
    rules = load_rules()
    assert tuple(rules.tables) == ("bitrix24", "kommo") and rules.hash == before
    with pytest.raises(RulesError) as refused:
        rules.table("desk")
    assert why in str(refused.value)


def test_a_text_that_is_not_there_stops_the_plugin_only(
    installed: Callable[[Registry], None], importable: Path
) -> None:
    lines = "desk:\n  - {result: 0, when: answered, status: ok, text: no_such_text}\n  - {result: 0, status: missed}\n"
    kind = with_table(lines, importable, with_text=True)
    installed(made(plugin(lambda: kind)))
    with pytest.raises(RulesError, match="no text is named 'no_such_text'"):
        load_rules().table("desk")


def test_an_adapter_that_cannot_be_used_is_told(installed: Callable[[Registry], None]) -> None:
    installed(made(plugin(lambda: DESK)))
    with pytest.raises(UserError, match=r"tests\.crm\.test_registry:NOTHING is not a CrmAdapter"):
        adapter_of("desk")
    kind = desk(adapter="no_such_module:ADAPTER")
    installed(made(plugin(lambda: kind)))
    with pytest.raises(UserError, match=r"no_such_module:ADAPTER cannot be imported"):
        adapter_of("desk")
    kind = desk(adapter="streams.crm.kommo.adapter:ADAPTER")
    installed(made(plugin(lambda: kind)))
    with pytest.raises(UserError, match="its plan is of kommo"):
        plan_of("desk")


@pytest.mark.parametrize("crm", BUILT_IN)
def test_a_built_in_crm_is_whole(crm: str) -> None:
    kind, plan = registered().kind(crm), plan_of(crm)
    assert kind.contract == 1 and plan.crm == crm
    assert set(kind.revisions) == {"keep", *plan.revisions}
    assert (kind.statuses is not None) == (crm in load_rules().tables)
    assert not kind.batch_setting or kind.batch_setting in PortalSettings.model_fields
    assert set(kind.defaults) | set(kind.required) <= set(PortalSettings.model_fields)
