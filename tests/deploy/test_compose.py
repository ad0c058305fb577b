"""The composition holds together. It was never run where it was written: no Docker engine was there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.parts import Connect, Site
from streams.cli.command_line import COMMANDS
from streams.settings import load_settings

COMPOSE = Path(__file__).parents[2] / "deploy/compose"
ROOT = COMPOSE.parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]


def properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_is_there_and_can_come_to_that_state(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert wanted["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "on-failure"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_nothing_is_published(name: str) -> None:
    assert re.fullmatch(r"\S+:[0-9][0-9A-Za-z.]+|\$\{CEL2CRM_IMAGE:-cel2crm:\d+\.\d+\.\d+}", SERVICES[name]["image"])
    assert "ports" not in SERVICES[name]
    assert SERVICES[name]["networks"] == ["calls"]


@pytest.mark.parametrize("name", [name for name, found in SERVICES.items() if "cel2crm" in found["image"]])
def test_our_containers_are_locked_down_and_run_a_command(name: str) -> None:
    service = SERVICES[name]
    assert service["command"][0] in COMMANDS
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_versions_are_those_that_everything_is_tested_with() -> None:
    pom = (ROOT / "deploy/local/poms/pom.xml").read_text(encoding="utf-8")
    tested = dict(re.findall(r"<(kafka|apicurio)\.version>(.*)</", pom))
    assert SERVICES["kafka"]["image"] == SERVICES["connect"]["image"] == f"apache/kafka:{tested['kafka']}"
    assert SERVICES["registry"]["image"] == f"apicurio/apicurio-registry:{tested['apicurio']}"


def test_files_that_are_mounted_are_there_or_a_person_makes_them() -> None:
    mounted = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    }
    made_by_a_person = {"./secrets", "./connect/secrets.properties"}
    assert {name for name in mounted if not (COMPOSE / name).exists()} == made_by_a_person


def test_the_settings_fit_the_services() -> None:
    settings = load_settings(COMPOSE / "cel2crm.yaml")
    addresses = f"{settings.kafka.bootstrap_servers} {settings.connect.url} {settings.registry.url}"
    assert set(re.findall(r"(\w+):\d+", addresses)) == {"kafka", "connect", "registry"}
    assert SERVICES["deliver"]["command"] == ["worker", *dict.fromkeys(portal.crm for portal in settings.portals)]


def test_connects_properties_are_those_of_the_local_stack_but_for_addresses(tmp_path: Path) -> None:
    ours = properties((COMPOSE / "connect/connect.properties").read_text(encoding="utf-8"))
    site = Site(tmp_path, tmp_path, tmp_path, {"kafka": 1, "connect": 2}, tmp_path, "")
    tested = {name: str(value) for name, value in Connect(site).configuration().items()}
    elsewhere = {
        "bootstrap.servers", "listeners", "rest.advertised.host.name", "rest.advertised.port", "plugin.path",
        "config.providers.file.param.allowed.paths", "offset.flush.interval.ms",
    }  # fmt: skip
    assert {name: value for name, value in ours.items() if name not in elsewhere} == {
        name: value for name, value in tested.items() if name not in elsewhere
    }
    reference = load_settings(COMPOSE / "cel2crm.yaml").connect.password_reference
    assert ours["config.providers.file.param.allowed.paths"] in reference
