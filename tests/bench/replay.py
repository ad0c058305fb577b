"""`cel2crm replay run` over many rows: rows per CPU second, beside a plain fold of the same rows.

The CPU time of a replay is that of all its processes, from their start to their end, imports included; that of the
plain fold (subjects.py) begins with its first row.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import yaml
from rich.table import Table

from tests.bench.subjects import subject_command
from tests.worker_installation import Installation


def measure(installation: Installation, rows: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The plain fold, then a replay by one process and by two."""
    settings = installation.directory / "replay.yaml"
    settings.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
    plain = installation.directory / "plain.json"
    plain.write_bytes(orjson.dumps(installation.tree))
    found = []
    commands = {
        "plain fold": subject_command("plain fold", rows, plain),
        "replay, one process": _run("one", settings, 1),
        "replay, two processes": _run("two", settings, 2),
    }
    for name, command in commands.items():
        say(f"measuring: {name}")
        began = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(command, stdout=out, stderr=err)
            _, status, used = os.wait4(process.pid, 0)  # of this process, and of those that it started
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            lines = out.read().splitlines()
            if process.returncode not in (0, 1) or not lines:  # 1: the last calls have no end
                err.seek(0)
                raise SystemExit(f"{name} could not be measured:\n{err.read()[-2000:].decode(errors='replace')}")
        told = json.loads(lines[-1])
        cpu = told.get("cpu_seconds", used.ru_utime + used.ru_stime)
        figures = {"subject": name, "rows": rows, "seconds": time.monotonic() - began, "cpu_seconds": cpu}
        found.append({**figures, "rows_per_cpu_second": rows / cpu})
    return found


def show(measured: list[dict[str, Any]]) -> Table:
    """A line each."""
    table = Table("reader", "wall clock", "CPU", "rows/CPU s", "of the plain fold", "of one process", title="Replay")
    plain, one, *_ = (each["rows_per_cpu_second"] for each in measured)
    for each in measured:
        rate = each["rows_per_cpu_second"]
        shares = f"{rate / plain:.2f}", f"{rate / one:.2f}" if each is not measured[0] else ""
        seconds = f"{each['seconds']:.1f} s", f"{each['cpu_seconds']:.1f} s"
        table.add_row(each["subject"], *seconds, f"{rate:,.0f}", *shares)
    return table


def _run(name: str, settings: Path, workers: int) -> list[str]:
    command = [sys.executable, "-m", "streams.cli.main", "replay", "run", "--into", name, "--yes", "--json"]
    return [*command, "--workers", str(workers), "--settings", str(settings)]
