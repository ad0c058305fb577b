"""What an installed server takes: at rest, and with so many phones. Memory and CPU of each unit."""

import time
from collections.abc import Callable
from typing import Any

from tests.deploy.server.calls import Calls
from tests.deploy.server.installing import ALL
from tests.deploy.server.machine import ENVIRONMENT, cpu_seconds, main_processes, resident_mb, start_all

CALLS_A_SECOND = 0.1 / 20
"""Of one phone, in the busy hour: 20 phones make 0.1 calls a second, 360 an hour."""
REST_BEFORE = 45.0
LOOK_SECONDS = 5.0

Measurement = dict[str, Any]


def scenario(found: dict[str, Any], jars: str, seconds: str, *phones: str) -> None:
    """Each of `phones` for so many seconds, after as long a rest."""
    calls = Calls(*start_all(ENVIRONMENT, "--jars", jars))
    calls.play(ALL)
    found["first"] = calls.judged()
    time.sleep(REST_BEFORE)
    found["measured"] = [_measured(calls, 0, float(seconds))]
    for count in phones:
        found["measured"].append(_measured(calls, int(count), float(seconds)))
    found["last"] = calls.judged()


def _measured(calls: Calls, phones: int, seconds: float) -> Measurement:
    """Of each unit's process: the most memory seen (MB, resident), and its CPU (% of a core)."""
    processes = main_processes()
    before, rows = {name: cpu_seconds(pid) for name, pid in processes.items()}, calls.rows
    most = dict.fromkeys(processes, 0.0)

    def look() -> None:
        for name, pid in processes.items():
            most[name] = max(most[name], resident_mb(pid))

    took = _call(calls, phones * CALLS_A_SECOND, seconds, look)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
    assert main_processes() == processes, "a unit was started anew"
    return {
        "phones": phones,
        "seconds": round(took, 1),
        "rows_a_second": round((calls.rows - rows) / took, 2),
        "parts": {
            name: {"megabytes": round(most[name], 1), "percent_of_a_core": round(used[name] / took * 100, 2)}
            for name in processes
        },
    }


def _call(calls: Calls, per_second: float, seconds: float, look: Callable[[], None]) -> float:
    """Begin calls at their rate, evenly; the seconds that it took."""
    began = time.monotonic()
    begun, looked = 0, -LOOK_SECONDS
    while (passed := time.monotonic() - began) < seconds:
        if passed - looked >= LOOK_SECONDS:
            look()
            looked = passed
        while begun < passed * per_second:
            calls.begin()
            begun += 1
        time.sleep(min(0.2, seconds - passed))
    return time.monotonic() - began
