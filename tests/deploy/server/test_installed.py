"""docs/server.md, followed under systemd: each call once in both CRMs, through an upgrade and a killed worker."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.download import jars
from deploy.server.layout import Layout
from deploy.server.units import services
from tests.deploy.server.container import ROOT, boot, make_root, missing

SECONDS = 900
MOST_EXPOSURE = 3.0
ENVIRONMENTS = ("/opt/cel2crm", "/opt/cel2crm-next")

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tests/deploy/server/inside.py found, in a Debian that was made for it."""
    if os.geteuid() != 0 or missing():
        pytest.skip(f"wants root, and apt-get install {' '.join(missing())} (systemd-container for systemd-nspawn)")
    folder = tmp_path_factory.mktemp("server")
    wheels = folder / "wheel"
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    make_root(folder / "root", wheel, "server", ENVIRONMENTS)
    out = folder / "out"
    out.mkdir()
    servers = jars(print)
    inside = f"/jars/{servers.name}"
    boot(folder / "root", "tests.deploy.server.inside", [inside, "/out/report.json"], {servers: inside}, out, SECONDS)
    found: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert "failure" not in found, f"{found['failure']}\n{found['journal'][-4000:]}"
    return found


def test_every_unit_runs(report: dict[str, Any]) -> None:
    assert report["states"] == dict.fromkeys(services(Layout()), "active")


def test_recorded_calls_stand_in_both_crms_each_once(report: dict[str, Any]) -> None:
    assert report["first"]["faults"] == []
    assert report["first"]["calls"] > 280
    assert all(count > 260 for count in report["first"]["entries"].values())


def test_an_upgrade_under_load_loses_and_doubles_nothing(report: dict[str, Any]) -> None:
    assert report["second"]["faults"] == []
    assert report["states_after_upgrade"] == dict.fromkeys(services(Layout()), "active")
    assert all("/opt/cel2crm-next/" in command for command in report["environment"].values())
    assert "back: /opt/cel2crm/bin/cel2crm-server upgrade" in report["upgraded"][-1]


def test_a_killed_worker_is_started_again_and_loses_nothing(report: dict[str, Any]) -> None:
    assert report["third"]["faults"] == []


def test_the_running_units_are_hardened(report: dict[str, Any]) -> None:
    assert set(report["exposure"]) == set(services(Layout()))
    assert all(exposure < MOST_EXPOSURE for exposure in report["exposure"].values())


def test_everything_together_is_small(report: dict[str, Any]) -> None:
    assert sum(report["memory"].values()) < 900, report["memory"]


def test_logs_have_a_journal_of_their_own(report: dict[str, Any]) -> None:
    assert len(report["log_files"]) == 1


def test_uninstall_leaves_what_it_says_and_purge_nothing(report: dict[str, Any]) -> None:
    assert report["running"] == []
    left = {Path(name) for name in report["left"]}
    said = " ".join(report["uninstalled"])
    kept = {Path("/etc/cel2crm"), Path("/opt/cel2crm-servers"), Path("/var/lib/cel2crm")}
    assert all(str(path) in said for path in kept)
    assert not [path for path in left - kept if not kept & set(path.parents) and "mysql" not in path.parts]
    purged = {name for name in report["left_after_purge"] if "/mysql/" not in name}
    assert {name for name in purged if "cel2crm" in name} == set()
