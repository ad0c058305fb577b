"""`python -m deploy.grafana`: write the dashboards beside this file."""

import json
from pathlib import Path
from typing import Any

from deploy.grafana.dashboards import dashboards

FOLDER = Path(__file__).parent


def text_of(made: dict[str, Any]) -> str:
    """A dashboard as its file holds it."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, made in dashboards().items():
        (FOLDER / name).write_text(text_of(made), encoding="utf-8")
        print(FOLDER / name)
