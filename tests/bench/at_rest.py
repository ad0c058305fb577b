"""What one server takes while nobody calls: memory and CPU of every process but the PBX's database.

The demo's calls go through first; then nothing comes for so many seconds; then calls come again, of which the first is
timed apart. Servers and workers as `cel2crm-server install` sets them up (docs/server.md): the workers and the watch of
the connectors in one process, settings of the aggregate worker as by default.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from deploy.demo.expected import expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import PORTALS, Pipeline, pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import Case, read_recordings, unique_starts
from deploy.demo.report import linkedid_of, verdict
from deploy.demo.run import run
from deploy.local import LocalStack
from deploy.server.tuning import TUNING
from streams.rules import load_rules
from streams.settings import load_settings
from tests.bench.usage import cpu_seconds, resident_mb

INSTALLATIONS = (PORTALS[:1], PORTALS)
"""The CRMs of each installation that is measured."""
LOOK_SECONDS = 5.0
CALLS_AFTER = 10

Measurement = dict[str, Any]


def measure(directory: Path, seconds: float, after: float, say: Callable[[str], None]) -> list[Measurement]:
    """Each installation with a stack of its own, for so many seconds, which begin so many after its calls."""
    found = []
    for crms in INSTALLATIONS:
        (own := directory / f"{len(crms)}").mkdir()
        say(f"playing the demo's calls; CRMs: {', '.join(crms)}")
        with LocalStack(tuning=TUNING) as stack:
            stack.create_pbx_database()
            with pipeline(stack, own, crms, in_one_process=True, aggregate={}) as running:
                processes = {name: each.pid for name, each in running.workers.items()}
                processes |= {name: pid for name, pid in stack.endpoints.pids.items() if name != "mariadb"}
                _play(running)
                say(f"{after + seconds:.0f} s at rest; CRMs: {', '.join(crms)}")
                time.sleep(after)
                parts = _at_rest(processes, seconds)
                found.append({"crms": list(crms), "seconds": seconds, "parts": parts, "calls": _calls_after(running)})
                running.check()
    return found


def _played(running: Pipeline, cases: list[Case], lanes: int = 8) -> tuple[Player, Observer]:
    """Calls played, so many at a time, until nothing more comes of them."""
    at = running.stack.endpoints
    player = Player(at.mariadb_host, at.mariadb_port, at.mariadb_root_password, lanes=lanes)
    observer = Observer(load_settings(running.settings_file), running.portals)
    truths = [truth for case in cases for truth in expected(case)]
    asyncio.run(run(Console(quiet=True), running, player, observer, cases, truths))
    return player, observer


def _calls_after(running: Pipeline) -> dict[str, dict[str, float]]:
    """By CRM: seconds from the last row's commit to the entry, of the first call after the rest, and of those after it.

    One after the other.
    """
    wanted = [
        case
        for case in unique_starts(read_recordings(), int(time.time()))  # later ids than those of before
        if all(truth.stands_in(name) for truth in expected(case) for name in running.portals)
    ]
    player, observer = _played(running, wanted[:CALLS_AFTER], lanes=1)
    found = {}
    for name, entries in observer.entries.items():
        received = {linkedid_of(entry): datetime.fromisoformat(entry["received_at"]).timestamp() for entry in entries}
        delays = [received[call] - written for call, written in player.written_at.items() if call in received]
        found[name] = {"first_seconds": delays[0], "median_seconds": median(delays[1:])}
    return found


def _play(running: Pipeline) -> None:
    """The demo's calls, all of them delivered."""
    cases = list(unique_starts(read_recordings(), int(time.time()) - 60))
    _, observer = _played(running, cases)
    truths = [truth for case in cases for truth in expected(case)]
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
        for name, calls in each["calls"].items():
            table.caption = f"{table.caption or ''}{crms}: from the last row to the entry in {name}: " + (
                f"{calls['first_seconds']:.2f} s for the first call after it, {calls['median_seconds']:.2f} s then\n"
            )
    return table
