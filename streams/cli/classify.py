"""`cel2crm classify`: CEL rows in, one outcome a call out; no server needed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from streams.calls.batch import Batch
from streams.calls.result import CallResult
from streams.calls.site import Site
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.outcomes import Outcomes
from streams.cli.truth import report_truth
from streams.crm.eligibility import skip_reason
from streams.errors import UserError
from streams.rows.files import RowSource
from streams.rows.row import CapturedRow, RowDecoder
from streams.rules import Rules, load_rules
from streams.settings import load_settings


def classify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="CSV with a header, JSON Lines, or recorded cases; - or nothing: standard input."),
    ] = None,
    as_json: JsonOption = False,
    truth: Annotated[
        bool, typer.Option("--truth", help="Compare with the truth in files of recorded cases; exit 1 if they differ.")
    ] = False,
    settings_file: SettingsOption = None,
) -> None:
    """Tell each call of a file: direction, who talked, result, and what each CRM would show.

    Rows of many calls may be mixed, in the order of their ids; without ids the order of the file counts.

    Examples:

        mysql --batch -e 'select * from asteriskcdrdb.cel order by id' | cel2crm classify

        cel2crm classify --json rows.jsonl | jq 'select(.answered | not)'
    """
    settings = load_settings(settings_file)
    paths = [None if str(path) == "-" else path for path in files or [Path("-")]]
    if truth:
        named = [path for path in paths if path is not None]
        if not named:
            raise UserError("--truth needs a file of recorded cases", "Give the file's name.")
        raise typer.Exit(0 if report_truth(named, load_rules(settings.rules), Site.of(settings)) else 1)
    if paths == [None] and sys.stdin.isatty():
        raise UserError("no file given, and standard input is a terminal", "See cel2crm classify --help.")
    rules = load_rules(settings.rules)
    unreadable = _Unreadable()
    batch = Batch(rules, Site.of(settings), settings.pbx.name)
    if batch.site.old_way:
        sys.stderr.write("cel2crm: cel_extra is read from column id: two statuses only, all details are given away\n")
    with _progress(paths) as progress:
        task = progress.add_task("rows", total=_size(paths))
        source = RowSource(
            RowDecoder(settings.database.column_name_aliases, settings.pbx.name),
            unreadable,
            lambda read: progress.advance(task, read),
        )
        results = batch.judge(_rows(source, paths))
        if as_json:
            sys.stdout.buffer.writelines(map(Outcomes(rules, settings).json_line, results))
        else:
            table = _table(results, rules)
    if not as_json:
        Console(width=None if sys.stdout.isatty() else 180).print(table)
    unreadable.report()
    if batch.strays:
        sys.stderr.write(f"cel2crm: {batch.strays} rows came long after the end of their calls and were left out\n")


class _Unreadable:
    """Counts rows that cannot be read, and tells the first few."""

    def __init__(self) -> None:
        self._count = 0
        self._told: list[str] = []

    def __call__(self, name: str, line: int, reason: str) -> None:
        self._count += 1
        if len(self._told) < 5:
            self._told.append(f"  {name}, line {line}: {reason}")

    def report(self) -> None:
        if self._count:
            sys.stderr.write(f"cel2crm: {self._count} rows could not be read\n" + "\n".join(self._told) + "\n")


def _rows(source: RowSource, paths: list[Path | None]) -> Iterator[CapturedRow]:
    for path in paths:
        yield from source.rows(path, None if path else sys.stdin.buffer)


def _size(paths: list[Path | None]) -> int | None:
    sizes = [path.stat().st_size for path in paths if path is not None and path.is_file()]
    return sum(sizes) if len(sizes) == len(paths) else None


def _progress(paths: list[Path | None]) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _table(results: Iterator[CallResult], rules: Rules) -> Table:
    table = Table(header_style="bold", title=None)
    for name in ("linkedid", "direction", "caller", "called", "answered by", "talk", "result", "Bitrix24", "Kommo"):
        table.add_column(name, justify="right" if name == "talk" else "left", no_wrap=name == "linkedid")
    for result in results:
        skipped = skip_reason(result)
        kommo = rules.kommo.status(result)
        colour = "green" if result.answered else "red"
        table.add_row(
            result.linkedid,
            result.direction,
            result.caller or "",
            result.called or "",
            f"[{colour}]{(result.answered_by or 'yes') if result.answered else 'nobody'}[/]",
            f"{result.talk_seconds or 0:.0f} s",
            f"{result.result} {result.result_name}",
            "" if skipped else rules.bitrix24.status(result),
            "" if skipped else f"{kommo.status} {kommo.text or ''}",
        )
    return table
