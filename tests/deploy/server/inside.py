"""In a booted Debian with MariaDB: one scenario of this folder, and what was found, as a file.

python -m tests.deploy.server.inside SCENARIO REPORT WORD ..: `installing`, `upgrading` or `phones`; the file (JSON);
the scenario's own words.
"""

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.deploy.server import installing, phones, upgrading
from tests.deploy.server.machine import shell

SCENARIOS: dict[str, Callable[..., None]] = {
    "installing": installing.scenario,
    "upgrading": upgrading.scenario,
    "phones": phones.scenario,
}


def main() -> None:
    """Whatever happens, the report is written: the container is then turned off."""
    scenario, report, *words = sys.argv[1:]
    found: dict[str, Any] = {}
    journal = ["journalctl", "--namespace", "cel2crm", "--no-pager"]
    try:
        SCENARIOS[scenario](found, *words)
    except BaseException:
        found["failure"] = traceback.format_exc()
        found["journal"] = shell([*journal, "-n", "150"], check=False)
        found["system"] = shell(["journalctl", "-n", "80", "--no-pager"], check=False)
    Path(report).write_text(json.dumps(found, indent=1), encoding="utf-8")
    Path(report).with_suffix(".journal").write_text(shell(journal, check=False), encoding="utf-8")


if __name__ == "__main__":
    main()
