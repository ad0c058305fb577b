"""classify against `json.loads` alone on the same file: the best of several rounds in turn."""

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.demo.recordings import RECORDINGS
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.outcomes import Outcomes
from streams.cli.classify.parallel import Classifiers
from streams.cli.classify.truth import read_cases
from streams.rows.files import RowSource
from streams.rows.row import RowDecoder
from streams.rows.unreadable import UnreadableLine
from streams.rules import load_rules
from streams.settings import Settings

ROUNDS = 7

ALONE = "json.loads alone"

Clock = Callable[[], float]
_CLOCKS: dict[Clock, str] = {time.process_time: "CPU", time.perf_counter: "wall clock"}


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


def measure(directory: Path, rows: int) -> list[dict[str, Any]]:
    """What each reader takes; its speed beside `json.loads` by the same clock."""
    lines, table = write_rows(directory, rows)
    readers: tuple[tuple[str, Clock, Callable[[], None]], ...] = (
        (ALONE, time.process_time, lambda: _load(lines)),
        ("classify --json, JSON Lines", time.process_time, lambda: _classify(lines)),
        ("classify --json, CSV", time.process_time, lambda: _classify(table)),
        (ALONE, time.perf_counter, lambda: _load(lines)),
        ("classify --json --jobs 2, JSON Lines", time.perf_counter, lambda: _classify_in_two(lines)),
    )
    best = [float("inf")] * len(readers)
    for _ in range(ROUNDS):
        for number, (_, clock, read) in enumerate(readers):
            begun = clock()
            read()
            best[number] = min(best[number], clock() - begun)
    alone = {clock: seconds for (name, clock, _), seconds in zip(readers, best, strict=True) if name == ALONE}
    return [
        {"reader": name, "clock": _CLOCKS[clock], "us_a_row": seconds / rows * 1e6, "speed": alone[clock] / seconds}
        for (name, clock, _), seconds in zip(readers, best, strict=True)
    ]


def show(measured: list[dict[str, Any]], rows: int) -> Table:
    """The measurement as a table."""
    title = f"classify: {rows:,} rows, without Python's start"
    table = Table("reader", "us a row", "of", "speed of json.loads", title=title)
    for each in measured:
        table.add_row(each["reader"], f"{each['us_a_row']:.2f}", each["clock"], f"{each['speed']:.2f}")
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


def _classify_in_two(path: Path) -> None:
    with Path(os.devnull).open("wb") as out:
        out.writelines(Classifiers([path], Settings(), 2).lines())


def _unexpected(line: UnreadableLine) -> None:
    raise AssertionError(f"{line.place}: {line.reason}")
