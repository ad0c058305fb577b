"""The dashboards of deploy/grafana: what is committed is what the code makes, and Grafana can import it.

tests/connectors/test_sql_views_servers.py runs every query of theirs.
"""

import json
import re
from typing import Any

import pytest

from deploy.grafana.__main__ import FOLDER, text_of
from deploy.grafana.dashboards import dashboards

MADE = dashboards()
EACH = pytest.mark.parametrize("name", MADE)


def test_every_file_is_made() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(MADE)


@EACH
def test_the_file_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text_of(MADE[name]), "run python -m deploy.grafana"


@EACH
def test_panels_stand_apart_and_have_their_own_numbers(name: str) -> None:
    panels: list[dict[str, Any]] = MADE[name]["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


@EACH
def test_queries_use_the_variables_that_there_are(name: str) -> None:
    made = MADE[name]
    known = {each["name"] for each in made["templating"]["list"]}
    asked = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(made["panels"])))
    assert asked == known


def test_dashboards_have_their_own_ids() -> None:
    assert len({each["uid"] for each in MADE.values()}) == len(MADE)
    assert all(len(each["uid"]) <= 40 for each in MADE.values()), "Grafana takes no longer one"
