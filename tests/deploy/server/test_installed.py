"""docs/server.md, followed under systemd: each call once in both CRMs, through a killed worker; then uninstalled."""

from pathlib import Path

import pytest

from deploy.server.layout import Layout
from deploy.server.units import services
from tests.deploy.server.conftest import Machine
from tests.deploy.server.container import Found

MOST_EXPOSURE = 3.0

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def report(machine: Machine) -> Found:
    """What the scenario found."""
    return machine.boot("installing", f"/jars/{machine.this.servers.name}")


def test_every_unit_runs(report: Found) -> None:
    assert report["states"] == dict.fromkeys(services(Layout()), "active")


def test_recorded_calls_stand_in_both_crms_each_once(report: Found) -> None:
    assert report["first"]["faults"] == []
    assert report["first"]["calls"] > 280
    assert all(count > 260 for count in report["first"]["entries"].values())


def test_the_status_that_the_page_ends_with_finds_nothing(report: Found) -> None:
    assert report["status"].startswith("all is well")


def test_a_killed_worker_is_started_again_and_loses_nothing(report: Found) -> None:
    assert report["after_a_kill"]["faults"] == []


def test_a_server_that_was_lost_brings_every_call_once_from_the_table(report: Found) -> None:
    assert report["after_the_loss"]["faults"] == []
    assert report["after_the_loss"]["calls"] == report["after_a_kill"]["calls"]


def test_the_running_units_are_hardened(report: Found) -> None:
    assert set(report["exposure"]) == set(services(Layout()))
    assert all(exposure < MOST_EXPOSURE for exposure in report["exposure"].values())


def test_everything_together_is_small(report: Found) -> None:
    assert sum(report["memory"].values()) < 750, report["memory"]


def test_logs_have_a_journal_of_their_own(report: Found) -> None:
    assert len(report["log_files"]) == 1


def test_uninstall_leaves_what_it_says_and_purge_nothing(report: Found) -> None:
    assert report["running"] == []
    left = {Path(name) for name in report["left"]}
    said = " ".join(report["uninstalled"])
    kept = {Path("/etc/cel2crm"), Path("/opt/cel2crm-servers"), Path("/var/lib/cel2crm")}
    assert all(str(path) in said for path in kept)
    assert not [path for path in left - kept if not kept & set(path.parents) and "mysql" not in path.parts]
    purged = {name for name in report["left_after_purge"] if "/mysql/" not in name}
    assert {name for name in purged if "cel2crm" in name} == set()
