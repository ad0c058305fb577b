"""From the version before to this one, back, and forward again, while calls go on."""

import json
import time
from pathlib import Path
from typing import Any

from tests.deploy.server.calls import Calls
from tests.deploy.server.machine import (
    ENVIRONMENT,
    FORMER,
    command_of,
    main_processes,
    processes,
    server,
    shell,
    start_all,
    states,
)

STEPS = {"forward": ENVIRONMENT, "back": FORMER, "forward_again": ENVIRONMENT}


def scenario(found: dict[str, Any], former_jars: str, jars: str) -> None:
    """The folders of the servers of the version before, and of this one."""
    calls = Calls(*start_all(FORMER, "--jars", former_jars))
    calls.play(60)
    found["before"] = calls.judged()
    found["steps"] = {}
    for name, environment in STEPS.items():
        found["steps"][name] = step = _upgrade(calls, environment, jars if environment == ENVIRONMENT else former_jars)
        step["judged"] = calls.judged()
        step["states"] = states()
        step["processes"] = len(processes())


def _upgrade(calls: Calls, environment: Path, jars: str) -> dict[str, Any]:
    began = time.monotonic()
    told, rows = calls.play_while(lambda: server(environment, "upgrade", "--jars", jars).splitlines())
    return {
        "told": told,
        "seconds": round(time.monotonic() - began),
        "rows": rows,
        "version": shell([str(environment / "bin/cel2crm"), "--version"]).strip(),
        "jars": json.loads(Path("/etc/cel2crm/server.json").read_text(encoding="utf-8"))["jars"],
        "commands": {name: command_of(pid) for name, pid in main_processes().items()},
    }
