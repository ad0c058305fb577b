"""classify against `json.loads` alone on the same file: the best of several rounds in turn."""

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from deploy.demo.recordings import RECORDINGS
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.outcomes import Outcomes
from streams.cli.classify.truth import read_cases
from streams.rows.files import RowSource
from streams.rows.row import RowDecoder
from streams.rows.unreadable import UnreadableLine
from streams.rules import load_rules
from streams.settings import Settings

ROUNDS = 7


def write_rows(directory: Path, rows: int) -> tuple[Path, Path]:
    """The recordings again and again, each call under linkedids of its own, as JSON Lines and as CSV."""
    cases = read_cases(Path(RECORDINGS))
    written = 0
    lines, table = directory / "rows.jsonl", directory / "rows.csv"
    with lines.open("w") as jsonl, table.open("w", newline="") as comma:
        columns = list(cases[0]["cel"][0])
        writer = csv.DictWriter(comma, columns)
        writer.writeheader()
        for turn in range(1 + rows):
            for row in (row for case in cases for row in case["cel"]):
                if written == rows:
                    return lines, table
                written += 1
                fresh = {**row, "id": written}
                for column in ("uniqueid", "linkedid"):
                    second, _, counter = row[column].rpartition(".")
                    fresh[column] = f"{second}.{turn}{counter:0>5}"
                jsonl.write(json.dumps(fresh, ensure_ascii=False) + "\n")
                writer.writerow(fresh)
    return lines, table


def measure(directory: Path, rows: int) -> dict[str, float]:
    """CPU microseconds a row of each reader."""
    lines, table = write_rows(directory, rows)
    readers: dict[str, Callable[[], None]] = {
        "json.loads alone": lambda: _load(lines),
        "classify --json, JSON Lines": lambda: _classify(lines),
        "classify --json, CSV": lambda: _classify(table),
    }
    best = dict.fromkeys(readers, float("inf"))
    for _ in range(ROUNDS):
        for name, read in readers.items():
            begun = time.process_time()
            read()
            best[name] = min(best[name], time.process_time() - begun)
    return {name: seconds / rows * 1e6 for name, seconds in best.items()}


def show(measured: dict[str, float], rows: int) -> Table:
    """The measurement as a table; speed relative to `json.loads`."""
    table = Table(
        "reader", "us CPU a row", "speed of json.loads", title=f"classify: {rows:,} rows, without Python's start"
    )
    for name, micros in measured.items():
        table.add_row(name, f"{micros:.2f}", f"{measured['json.loads alone'] / micros:.2f}")
    return table


def _load(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            json.loads(line)


def _classify(path: Path) -> None:
    rules = load_rules()
    source = RowSource(RowDecoder(), _unexpected)
    lines = Outcomes(rules, Settings()).json_lines(OfflineClassifier(rules, PbxProfile()), source.rows(path))
    with Path(os.devnull).open("wb") as out:
        out.writelines(line for line, _ in lines)


def _unexpected(line: UnreadableLine) -> None:
    raise AssertionError(f"{line.place}: {line.reason}")
