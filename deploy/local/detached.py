"""A stack that outlives the command that started it: `up` leaves it, `down` ends exactly that one."""

import os
import signal
import time
from pathlib import Path

from deploy.local.endpoints import Endpoints
from deploy.local.errors import StackError
from deploy.local.logs import BUILD
from deploy.local.supervision import ProcessId

UP = BUILD / "up"
"""The run directory of the stack that `up` starts; each checkout has its own."""
END_SECONDS = 30.0


def running(directory: Path = UP) -> Endpoints | None:
    """The stack that `up` left running in this checkout; None where there is none."""
    try:
        endpoints = Endpoints.read(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return endpoints if endpoints.supervisor.is_alive() else None


def ended_parts(endpoints: Endpoints) -> list[str]:
    """The parts of a running stack that have ended by themselves."""
    return [name for name, pid in endpoints.pids.items() if ProcessId.of(pid) is None]


def end(directory: Path = UP) -> bool:
    """End it and wait; False where none runs. Signals the supervisor alone, and only if it is beyond doubt the same."""
    endpoints = running(directory)
    if endpoints is None:
        return False
    os.kill(endpoints.supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while endpoints.supervisor.is_alive():
        if time.monotonic() > deadline:
            raise StackError(
                f"The local stack's supervisor (process {endpoints.supervisor.pid}) does not end.",
                "Look at its processes with ps; it may wait for a server that hangs in the kernel.",
            )
        time.sleep(0.05)
    return True
