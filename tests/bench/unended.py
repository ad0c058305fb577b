"""`cel2crm classify --json` of calls without an end, each of nine rows: what it takes, by when the calls began.

As after a PBX that was restarted again and again, or one whose `cel.conf` logs no ends. A call is given up four to
eight hours after its last row, by the rows' own times; until then it is remembered.
"""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.table import Table

from deploy.demo.recordings import RECORDINGS
from streams.cli.classify.truth import read_cases
from tests.bench.usage import cpu_seconds, resident_mb

Measurement = dict[str, Any]

CALLS_A_SECOND = (1, 1_000)
ROWS_OF_A_CALL = 9
_LOOK_SECONDS = 0.05
_START = 1_795_390_000
_UNIQUEID = re.compile(rb'"(?:[a-z0-9]+-)?\d{10}\.(\d+)"')
_COMMAND = (sys.executable, "-W", "ignore", "-m", "streams.cli.main", "classify", "--json", "--jobs", "1")


def measure(directory: Path, calls: int) -> list[Measurement]:
    """The same calls, begun at each rate."""
    return [_measured(directory, calls, rate) for rate in CALLS_A_SECOND]


def _measured(directory: Path, calls: int, calls_a_second: int) -> Measurement:
    file = directory / f"{calls_a_second}.jsonl"
    with file.open("wb") as rows:
        rows.writelines(_rows(calls, calls_a_second))
    with (directory / "judged.jsonl").open("wb") as judged:
        process = subprocess.Popen([*_COMMAND, str(file)], stdout=judged)
        peak, cpu = _until_ended(process)
    with (directory / "judged.jsonl").open("rb") as judged:
        given = sum(1 for _ in judged)
    file.unlink()
    if process.returncode or given != calls:
        raise SystemExit(f"classify ended with {process.returncode}, and gave {given} of {calls} calls")
    return {
        "calls": calls,
        "rows": calls * ROWS_OF_A_CALL,
        "calls_a_second": calls_a_second,
        "hours": calls / calls_a_second / 3600,
        "cpu_seconds": cpu,
        "peak_mb": peak,
    }


def _until_ended(process: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Its peak of memory in MB, and its CPU seconds: as it was seen last, for what the system tells of an ended one
    has the memory of its parent in it."""
    watched, peak, cpu = psutil.Process(process.pid), 0.0, 0.0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            peak, cpu = max(peak, resident_mb(watched)), cpu_seconds(watched)
        time.sleep(_LOOK_SECONDS)
    return peak, cpu


def _rows(calls: int, calls_a_second: int) -> Iterator[bytes]:
    """The first rows of recorded calls, under ids of their own, as JSON Lines."""
    recorded = [orjson.dumps(row) for row in _beginnings()]
    beginnings = [recorded[first : first + ROWS_OF_A_CALL] for first in range(0, len(recorded), ROWS_OF_A_CALL)]
    for number, rows in enumerate(islice(cycle(beginnings), calls)):
        own = b'"%d.%07d\\1"' % (_START + number // calls_a_second, number)
        for row in rows:
            yield _UNIQUEID.sub(own, row) + b"\n"


def _beginnings() -> Iterator[dict[str, Any]]:
    for case in read_cases(Path(RECORDINGS)):
        rows = [row for row in case["cel"] if row["linkedid"] == case["cel"][0]["linkedid"]][:ROWS_OF_A_CALL]
        if len(rows) == ROWS_OF_A_CALL and not any(row["eventtype"] in ("CHAN_END", "LINKEDID_END") for row in rows):
            yield from rows


def show(measured: Sequence[Measurement]) -> Table:
    """A line for each rate."""
    table = Table("calls", "rows", "calls a second", "hours", "CPU", "peak", title="classify: calls without an end")
    for each in measured:
        table.add_row(
            f"{each['calls']:,}", f"{each['rows']:,}", f"{each['calls_a_second']:,}", f"{each['hours']:.1f}",
            f"{each['cpu_seconds']:.1f} s", f"{each['peak_mb']:,.0f} MB",
        )  # fmt: skip
    return table
