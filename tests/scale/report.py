"""Results of phases as a table, as Markdown and as JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.scale.run import PhaseResult

_HEAD = ("phase", "calls", "to result: p50", "p99", "longest", "to CRM: p50", "p99", "longest", "lost", "doubled",
         "wrong", "stops", "ended by themselves", "status said")  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below or at which that share lies; None: there are no values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def lines(results: Sequence[PhaseResult]) -> Iterator[tuple[str, ...]]:
    """A line for each phase, in the order of the head."""
    for each in results:
        crm = [seconds for values in each.to_crm.values() for seconds in values]
        spans = [
            _seconds(found)
            for values in (each.to_result, crm)
            for found in (percentile(values, 0.5), percentile(values, 0.99), max(values, default=None))
        ]
        counts = (str(len(found)) for found in (each.lost, each.doubled, each.wrong))
        stops = f"{len(each.stops)}, {max(seconds for _, seconds, _ in each.stops):.1f} s" if each.stops else ""
        said = "; ".join(dict.fromkeys(each.said_during)) or "all is well"
        yield each.phase, str(each.calls), *spans, *counts, stops, ", ".join(each.ended), said


def table(results: Sequence[PhaseResult]) -> Table:
    """For a terminal."""
    shown = Table(title="Scale and life, three brokers", show_lines=True)
    for name in _HEAD:
        shown.add_column(name, overflow="fold")
    for line in lines(results):
        shown.add_row(*line)
    return shown


def markdown(results: Sequence[PhaseResult]) -> str:
    """For a page."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *lines(results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_json(path: Path, results: Sequence[PhaseResult]) -> None:
    """Everything, latencies in seconds one by one."""
    told = [{**asdict(each), "passed": each.passed} for each in results]
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


def print_complaints(console: Console, results: Sequence[PhaseResult]) -> None:
    """What is wrong, in words."""
    for each in results:
        if not each.passed:
            parts = [
                each.failure,
                *each.lost[:4],
                *each.doubled[:4],
                *each.wrong[:4],
                *each.late_stops,
                *each.said_after,
            ]
            told = "; ".join(part for part in parts if part)
            console.print(f"{each.phase}: {told}", markup=False, highlight=False, soft_wrap=True)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
