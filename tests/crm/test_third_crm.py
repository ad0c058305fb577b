"""The third CRM, installed as a package of its own: what commands make of it without servers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crm.plugins import ROOT, THIRD_CRM, SitePackages
from tests.worker_installation import recorded_rows


@pytest.fixture
def packages(tmp_path: Path) -> SitePackages:
    """With the third CRM."""
    made = SitePackages(tmp_path / "site")
    made.install(THIRD_CRM)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "cel2crm.yaml"
    file.write_text(
        "portals: [{name: office, crm: callbook, url: 'http://127.0.0.1:1', token: x, options: {board: sales}}]\n",
        encoding="utf-8",
    )
    return file


def test_it_has_a_worker_a_table_of_rules_and_a_place_in_outcomes(packages: SitePackages, tmp_path: Path) -> None:
    assert "callbook   Deliver call results to Callbook." in packages.run("worker", "--help").stdout
    table = json.loads(packages.run("rules", "show", "callbook", "--json").stdout)["callbook"]
    assert (table[0]["status"], table[0]["meaning"]) == ("busy", "line busy")
    assert table[0]["from"] == "callbook.yaml:3"
    (rows := tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, recorded_rows()[:200])), encoding="utf-8")
    outcomes = [json.loads(line) for line in packages.run("classify", "--json", str(rows)).stdout.splitlines()]
    assert {outcome["callbook"]["status"] for outcome in outcomes if outcome["callbook"]} >= {"talked", "missed"}
    own = tmp_path / "own.yaml"
    own.write_text("callbook:\n  - {result: 486, status: missed}\n", encoding="utf-8")
    changes = packages.run("rules", "diff", str(own), "--json").stdout.splitlines()
    assert {json.loads(line)["table"] for line in changes} == {"callbook"}
    answered = next(outcome["linkedid"] for outcome in outcomes if outcome["answered"] and outcome["callbook"])
    assert "callbook.yaml:" in packages.run("explain", answered, str(rows)).stdout


@pytest.mark.parametrize(
    ("portal", "told"),
    [
        ("{name: office, crm: callbook}", "portal office: options: must be: {board: NAME}"),
        ("{name: office, crm: callbook, options: {board: 1}}", "portal office: options: board is not a name"),
        ("{name: office, crm: callbook, bord: x, options: {board: x}}", "portals[office].bord"),
        ("{name: office, crm: callbook, options: {board: x}, on_revision: note}", "on_revision cannot be 'note'"),
        ("{name: office, crm: callbok}", "there is no CRM 'callbok'; known: bitrix24, kommo, webhook, callbook"),
    ],
)
def test_its_settings_are_checked(packages: SitePackages, tmp_path: Path, portal: str, told: str) -> None:
    (file := tmp_path / "cel2crm.yaml").write_text(f"portals: [{portal}]\n", encoding="utf-8")
    done = packages.run("worker", "callbook", "--settings", str(file))
    assert done.returncode == 2 and told in done.stderr


@pytest.fixture
def with_bad_ones(packages: SitePackages) -> Iterator[SitePackages]:
    """Beside it: a package that cannot be imported, one for another contract, one named like a built-in CRM, and two of
    one name."""
    packages.offer("cel2crm-lost", {"lost": "no_such_package.kind:KIND"})
    for name, contract in (("older", 0), ("kommo", 1)):
        kind = (THIRD_CRM / "cel2crm_callbook" / "kind.py").read_text(encoding="utf-8")
        kind = kind.replace("contract=1", f"contract={contract}").replace('name="callbook"', f'name="{name}"')
        (packages.directory / f"crm_{name}.py").write_text(kind, encoding="utf-8")
        packages.offer(f"cel2crm-{name}", {name: f"crm_{name}:KIND"})
    packages.offer("cel2crm-two-a", {"two": "crm_kommo:KIND"})
    packages.offer("cel2crm-two-b", {"two": "crm_older:KIND"})
    yield packages


def test_bad_packages_stop_only_their_own_workers(with_bad_ones: SitePackages, settings: Path) -> None:
    workers = with_bad_ones.run("worker", "--help").stdout
    assert "callbook   Deliver call results to Callbook." in workers and "Deliver call results to Kommo" in workers
    for name, why in (
        ("lost", "cel2crm-lost: ModuleNotFoundError"),
        ("older", "cel2crm-older was written for contract 0, and this cel2crm has contract 1"),
        ("two", "several packages offer it (cel2crm-two-a, cel2crm-two-b)"),
    ):
        done = with_bad_ones.run("worker", name, "--settings", str(settings))
        assert done.returncode == 2 and f"CRM {name} cannot be used: " in done.stderr and why in done.stderr
    listed = with_bad_ones.run("topics", "apply", "--dry-run", "--settings", str(settings)).stderr
    for name in ("lost", "older", "two"):
        assert f"cel2crm: warning: CRM {name} cannot be used: " in listed
    assert "warning: cel2crm-kommo offers a CRM kommo, which is built in" in listed
    assert with_bad_ones.run("rules", "check").returncode == 0


def test_it_is_typed_and_imports_no_other_crm() -> None:
    for file in (THIRD_CRM / "cel2crm_callbook").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not any(f"streams.crm.{name}" in text for name in ("bitrix24", "kommo", "webhook")), file
    for folder in ("streams", "connectors", "schemas"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".yaml", ".avsc"):
                assert "callbook" not in file.read_text(encoding="utf-8").lower(), file


def test_its_check_is_run_by_the_command(packages: SitePackages, settings: Path) -> None:
    done = packages.run("portal", "check", "office", "--settings", str(settings), "--json")
    (found,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.returncode, found["level"], found["crm"]) == (2, "away", "callbook"), done
    assert "nobody answers at 127.0.0.1:1" in found["what"]
