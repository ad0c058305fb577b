"""`cel2crm config`: the settings in force, and whether they can be used; --settings before and after a command."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from tests.cli.commands import as_process as cel2crm

SETTINGS = """\
pbx: {name: office}
database: {password_file: FOLDER/password}
portals: [{name: sales, crm: kommo, url: "https://a.kommo.com", token: hunter2, users: {1001: 11}}]
"""


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """As it was, afterwards: --settings before a command sets it."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Settings that can be used."""
    (tmp_path / "password").touch(mode=0o600)
    path = tmp_path / "cel2crm.yaml"
    path.write_text(SETTINGS.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    return path


def test_show_prints_what_is_set_and_no_secret(file: Path) -> None:
    done = cel2crm("config", "show", "-s", str(file))
    assert done.status == 0
    shown = yaml.safe_load(done.stdout)
    assert shown["pbx"] == {"name": "office"}
    assert shown["portals"][0]["users"] == {"1001": "11"}
    assert "kafka" not in shown
    assert "hunter2" not in done.stdout + cel2crm("config", "show", "--all", "-s", str(file)).stdout


def test_show_all_has_the_defaults_too(file: Path) -> None:
    shown = json.loads(cel2crm("config", "show", "--all", "--json", "-s", str(file)).stdout)
    assert shown["kafka"]["partitions"] == 6


def test_settings_may_be_named_before_the_command(file: Path) -> None:
    done = cel2crm("-s", str(file), "config", "show")
    assert (done.status, yaml.safe_load(done.stdout)["pbx"]) == (0, {"name": "office"})


def test_check_names_the_files_that_cannot_be_used(file: Path) -> None:
    assert (done := cel2crm("config", "check", "-s", str(file))).status == 0, done.stderr
    file.with_name("password").chmod(0o644)
    done = cel2crm("config", "check", "-s", str(file))
    assert done.status == 2
    assert "database.password_file" in done.stderr
    assert "chmod o= " in done.stderr
    file.with_name("password").unlink()
    done = cel2crm("config", "check", "-s", str(file))
    assert (done.status, f"database.password_file: there is no {file.with_name('password')}" in done.stderr) == (
        2,
        True,
    )


def test_check_without_settings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CEL2CRM_SETTINGS", raising=False)
    done = cel2crm("config", "check")
    assert (done.status, "no settings file is named" in done.stderr) == (2, True)


def test_version_is_a_command_too() -> None:
    assert cel2crm("version").stdout == cel2crm("--version").stdout
