"""An installation in memory for each test."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import load_settings
from tests.operations.memory import Operator, make_operator

PORTALS = [
    {"name": "main", "crm": "bitrix24", "default_user": "1"},
    {"name": "sales", "crm": "kommo"},
]


@pytest.fixture
def tree() -> dict[str, Any]:
    """The settings; a test may ask for others by a fixture or parameter of this name."""
    return {}


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: dict[str, Any]) -> Operator:
    """A person at the command line."""
    file = tmp_path / "cel2crm.yaml"
    file.write_text(yaml.safe_dump({"portals": PORTALS, **tree}), encoding="utf-8")
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))
    return make_operator(monkeypatch, load_settings())
