"""The report as tables for a terminal, as CSV and as JSON: the same figures in each, and no number of a client."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from streams.analysis.report.figures import Figures, Line, Report, settled_counts
from streams.analysis.report.settled import Settled
from streams.analysis.report.words import Words
from streams.cli.output import Table, say, say_json, say_table
from streams.printable import csv_cell
from streams.rules.results import RESULT_NAMES

_WIDTH = 130
_FORM: dict[str, Any] = {"title_justify": "left", "header_style": "bold", "box": None, "pad_edge": False}
_COUNTS = ("calls", "answered", "missed", "busy", "failed")
_COLUMNS = (
    "by", "name", "direction", *_COUNTS, "answered_percent", "wait_median_seconds", "wait_90_seconds",
    "talk_total_seconds", "talk_mean_seconds", "result", "cause", "called_back", "called_again", "waiting", "no_number",
    "called_back_median_seconds", "called_again_median_seconds",
)  # fmt: skip


def lines_of_report(report: Report) -> Iterator[dict[str, Any]]:
    """The report as one member of JSON each; `by` says what it is about. Seconds to a tenth, percent to a tenth."""
    for line in report.lines:
        figures = {name: _rounded(value) for name, value in asdict(line.figures).items()}
        yield {"by": line.by, "name": line.name, "direction": line.direction, **figures}
    yield {"by": "unanswered_incoming", **settled_counts(report.missed)}
    for failure in report.failures:
        trunk, result, cause, calls = failure
        yield {"by": "failure", "name": trunk, "result": result, "cause": cause, "calls": calls}


def say_json_report(report: Report) -> None:
    """One object a line."""
    for line in lines_of_report(report):
        say_json(line)


def say_csv_report(report: Report) -> None:
    """Every line in one form, for a spreadsheet, which calculates none of it."""
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for line in lines_of_report(report):
        writer.writerow({name: csv_cell(value) for name, value in line.items()})


def say_tables(report: Report, words: Words) -> None:
    """The report on a terminal."""
    say(f"{words['title']}, {words.fill('period', **report.edges)}")
    _say_group(report, words, ("total", "direction"), "direction", "total")
    _say_group(report, words, ("day",), "by_day", "day")
    _say_group(report, words, ("hour",), "by_hour", "hour")
    for by in ("trunk", "queue", "extension"):
        _say_group(report, words, (by,), by, by)
    _say_settled(report, words)
    _say_failures(report, words)


def _say_group(report: Report, words: Words, kinds: tuple[str, ...], title: str, name: str) -> None:
    lines = [line for line in report.lines if line.by in kinds]
    if not lines:
        return
    say()
    table = Table(title=words[title], **_FORM)
    named = name in ("trunk", "queue", "extension")
    table.add_column(words[name] if name != "total" else "", overflow="fold")
    if named:
        table.add_column(words["direction"], overflow="fold")
    for column in (*_COUNTS, "share", "half_in", "nine_in", "talk", "talk_mean_short"):
        table.add_column(words[column], justify="right")
    for line in lines:
        table.add_row(*_names(line, words, named=named), *_cells(line.figures, words))
    say_table(table, _WIDTH)


def _names(line: Line, words: Words, *, named: bool) -> list[str]:
    direction = words[line.direction or "all"]
    return (
        [line.name or "", direction] if named else [line.name or (words["total"] if line.by == "total" else direction)]
    )


def _cells(figures: Figures, words: Words) -> list[str]:
    return [
        *(str(getattr(figures, name)) for name in _COUNTS),
        words.percent(figures.answered_percent),
        clock(figures.wait_median_seconds),
        clock(figures.wait_90_seconds),
        clock(figures.talk_total_seconds),
        clock(figures.talk_mean_seconds),
    ]


def clock(seconds: float | None) -> str:
    """A length as `0:45`, `3:05`, `12:30:00`; `-` where it is not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _say_settled(report: Report, words: Words) -> None:
    if not report.missed:
        return
    say()
    counts = settled_counts(report.missed)
    table = Table(title=f"{words['unanswered_incoming']}: {counts['calls']}", **_FORM)
    table.add_column(words["settled"])
    table.add_column(words["calls"], justify="right")
    table.add_column(words["median"], justify="right")
    for how in Settled:
        table.add_row(words[how], str(counts[how]), clock(counts.get(f"{how}_median_seconds")))
    say_table(table, _WIDTH)


def _say_failures(report: Report, words: Words) -> None:
    if not report.failures:
        return
    say()
    table = Table(title=words["failures_by_trunk"], **_FORM)
    for name in ("trunk", "result", "cause"):
        table.add_column(words[name], overflow="fold")
    table.add_column(words["calls"], justify="right")
    for each in report.failures:
        reason = f"{each.result} {RESULT_NAMES.get(each.result, '')}".rstrip()
        table.add_row(each.trunk or "-", reason, "-" if each.cause is None else str(each.cause), str(each.calls))
    say_table(table, _WIDTH)


def _rounded(value: float | None) -> float | None:
    return round(value, 1) if isinstance(value, float) else value
