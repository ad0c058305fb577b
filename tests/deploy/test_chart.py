"""The chart's topics and users are those of the declarations; rendered and checked: tests/deploy/ways/test_chart.py."""

import re
from pathlib import Path

import pytest
import yaml

from deploy.release.strimzi import FILES, TEMPLATES, expression

ROOT = Path(__file__).parents[2]
CHART = TEMPLATES.parent


@pytest.mark.parametrize("name", FILES)
def test_the_generated_templates_are_those_of_the_declarations(name: str) -> None:
    assert (TEMPLATES / name).read_text(encoding="utf-8") == FILES[name](), "python -m deploy.release.strimzi"


def test_a_placeholder_that_the_chart_does_not_know_is_named() -> None:
    with pytest.raises(LookupError, match="has no expression"):
        expression("<nothing.known>")


def test_debezium_is_the_version_that_everything_is_tested_with() -> None:
    pom = (ROOT / "deploy/local/poms/pom.xml").read_text(encoding="utf-8")
    tested = re.search(r"<debezium.version>(.*)</debezium.version>", pom)
    assert tested
    template = (TEMPLATES / "strimzi-connect.yaml").read_text(encoding="utf-8")
    assert re.findall(r"group: io.debezium, .*version: (\S+)}", template) == [tested[1]]


def test_the_charts_version_is_the_one_that_the_changelog_is_writing() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    heading = re.search(r"(?m)^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert heading
    assert chart["version"] == chart["appVersion"] == heading[1]
