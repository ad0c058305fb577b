"""docs/server.md's upgrade between two versions that differ, and back, while calls go on: each call once in both."""

import pytest

from deploy.server.units import APART, SERVERS
from tests.deploy.server.conftest import Machine
from tests.deploy.server.container import Found
from tests.deploy.server.upgrading import STEPS

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def report(machine: Machine) -> Found:
    """What the scenario found."""
    if machine.former is None:
        pytest.skip(f"there is no version before to upgrade from: {machine.why_no_former}")
    return machine.boot("upgrading", f"/jars/{machine.former.servers.name}", f"/jars/{machine.this.servers.name}")


def test_calls_of_before_are_delivered_by_the_version_before(report: Found) -> None:
    assert report["before"]["faults"] == []
    assert report["before"]["calls"] >= 60


@pytest.mark.parametrize("step", STEPS)
def test_calls_go_on_and_each_stands_in_both_crms_once(report: Found, step: str) -> None:
    found = report["steps"][step]
    assert found["judged"]["faults"] == []
    assert all(rows >= 30 for rows in found["rows"].values()), found["rows"]


@pytest.mark.parametrize("step", STEPS)
def test_everything_runs_from_the_environment_that_was_asked_for_and_nothing_else_does(
    report: Found, step: str
) -> None:
    found = report["steps"][step]  # each worker stays the unit of its own that the former version made it
    assert found["states"] == dict.fromkeys((*SERVERS, "apply", *APART), "active")
    assert all(f"{STEPS[step]}/bin/" in found["commands"][name] for name in APART)
    assert all(found["jars"] in found["commands"][name] for name in SERVERS)
    assert found["processes"] == len((*SERVERS, *APART))


def test_the_two_versions_differ(report: Found) -> None:
    forward, back = report["steps"]["forward"], report["steps"]["back"]
    assert forward["version"] != back["version"]
    assert forward["jars"] != back["jars"]


def test_the_way_back_is_told(report: Found) -> None:
    assert "back: /opt/cel2crm-former/bin/cel2crm-server upgrade" in report["steps"]["forward"]["told"][-1]
