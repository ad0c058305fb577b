"""An installation in memory whose cel topic holds the recorded calls."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.replay import opening
from streams.settings import Settings, load_settings
from tests.operations.memory import Operator, make_operator
from tests.replay.memory import Live, MemorySource, capture, opened
from tests.worker_installation import recorded_rows

collect_ignore = [] if find_spec("pyspark") else ["test_spark.py", "test_spark_readers_servers.py"]
"""Spark is 450 MB and stands in no environment of developers: `make test-spark` has one of its own."""


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: dict[str, Any]) -> Operator:
    """A person at the command line."""
    file = tmp_path / "cel2crm.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))
    return make_operator(monkeypatch, load_settings())


@pytest.fixture
def tree() -> dict[str, Any]:
    """The settings; a test may ask for others by a fixture of this name."""
    return {"portals": [{"name": "sales", "crm": "kommo"}]}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, operator: Operator) -> MemorySource:
    """The topic, in the place of Kafka's."""
    made = MemorySource(operator)
    monkeypatch.setattr(opening, "open_replay", lambda _settings: opened(operator, made))
    return made


@cache
def _recorded() -> Live:
    """The recorded calls, captured and judged once for all tests."""
    operator = Operator(Settings())
    capture(operator, recorded_rows())
    return Live(operator).take_all()


@pytest.fixture
def live(operator: Operator, source: MemorySource) -> Live:
    """The recorded calls, captured and judged by the aggregate worker."""
    recorded = _recorded()
    for place, log in recorded.operator.topics.logs.items():
        operator.topics.logs[place] = list(log)
    return recorded
