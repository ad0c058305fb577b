"""What one server takes while nobody calls: memory and CPU of every process but the PBX's database.

The demo's calls go through first; then nothing comes for so many seconds. Heaps as on a server that `cel2crm-server
install` set up (docs/server.md); all workers in one process.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from deploy.demo.expected import expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import PORTALS, Pipeline, pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import read_recordings, unique_starts
from deploy.demo.report import verdict
from deploy.demo.run import run
from deploy.local import LocalStack
from deploy.server.tuning import TUNING
from streams.rules import load_rules
from streams.settings import load_settings
from tests.bench.usage import cpu_seconds, resident_mb

INSTALLATIONS = (PORTALS[:1], PORTALS)
"""The CRMs of each installation that is measured."""
LOOK_SECONDS = 5.0

Measurement = dict[str, Any]


def measure(directory: Path, seconds: float, say: Callable[[str], None]) -> list[Measurement]:
    """Each installation with a stack of its own."""
    found = []
    for crms in INSTALLATIONS:
        (own := directory / f"{len(crms)}").mkdir()
        say(f"playing the demo's calls; CRMs: {', '.join(crms)}")
        with LocalStack(tuning=TUNING) as stack:
            stack.create_pbx_database()
            with pipeline(stack, own, crms, in_one_process=True) as running:
                watch = (sys.executable, "-m", "streams.cli.main", "connectors", "watch", "--settings")
                processes = {"connectors watch": stack.run("watch", [*watch, running.settings_file])}
                processes |= {name: each.pid for name, each in running.workers.items()}
                processes |= {name: pid for name, pid in stack.endpoints.pids.items() if name != "mariadb"}
                _play(running)
                say(f"{seconds:.0f} s at rest; CRMs: {', '.join(crms)}")
                found.append({"crms": list(crms), "seconds": seconds, "parts": _at_rest(processes, seconds)})
                running.check()
    return found


def _play(running: Pipeline) -> None:
    """The demo's calls, all of them delivered."""
    at = running.stack.endpoints
    cases = list(unique_starts(read_recordings(), int(time.time()) - 60))
    truths = [truth for case in cases for truth in expected(case)]
    player = Player(at.mariadb_host, at.mariadb_port, at.mariadb_root_password)
    observer = Observer(load_settings(running.settings_file), running.portals)
    asyncio.run(run(Console(quiet=True), running, player, observer, cases, truths))
    if faults := verdict(observer, truths, load_rules(observer.settings.rules)):
        raise SystemExit("the demo's calls did not arrive as they should:\n" + "\n".join(map(str, faults)))


def _at_rest(processes: dict[str, int], seconds: float) -> list[Measurement]:
    """Of each process: the most memory (MB, resident) seen while nothing came, and its CPU (% of a core)."""
    watched = {name: psutil.Process(pid) for name, pid in processes.items()}
    before, began = {name: cpu_seconds(process) for name, process in watched.items()}, time.monotonic()
    most = dict.fromkeys(watched, 0.0)
    while (passed := time.monotonic() - began) < seconds:
        for name, process in watched.items():
            most[name] = max(most[name], resident_mb(process))
        time.sleep(min(LOOK_SECONDS, seconds - passed))
    took = time.monotonic() - began
    return [
        {"part": name, "megabytes": most[name], "percent_of_a_core": (cpu_seconds(each) - before[name]) / took * 100}
        for name, each in watched.items()
    ]


def show(measured: Sequence[Measurement]) -> Table:
    """One line for each process, and the sum."""
    table = Table("CRMs", "part", "MB", "% of a core", title="At rest: everything of one server but the PBX's database")
    for each in measured:
        crms = ", ".join(each["crms"])
        for part in each["parts"]:
            table.add_row(crms, part["part"], f"{part['megabytes']:.0f}", f"{part['percent_of_a_core']:.2f}")
        sums = (sum(part[name] for part in each["parts"]) for name in ("megabytes", "percent_of_a_core"))
        table.add_row(crms, "all", *(f"{number:.1f}" for number in sums), style="bold", end_section=True)
    return table
