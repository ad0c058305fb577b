"""`cel2crm classify`: CEL rows in, one outcome a call out; no server needed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.outcomes import Outcomes
from streams.cli.classify.parallel import Classifiers, classifying_processes
from streams.cli.classify.table import outcome_table
from streams.cli.classify.truth import report_truth
from streams.cli.classify.what_if import RulesComparison
from streams.cli.options import ColumnsOption, JsonOption, RulesOption, SettingsOption, settings_with_rules
from streams.cli.output import Table, console_of, remark, say_json_lines
from streams.cli.row_sources import one_database
from streams.cli.unreadable_rows import SOME_UNREADABLE, UnreadableRows
from streams.errors import UserError
from streams.printable import printable_json
from streams.rows.columns import columns_named
from streams.rows.files import RowSource
from streams.rows.row import CapturedRow, RowDecoder
from streams.rows.unreadable import UnreadableLine
from streams.rules import load_rules
from streams.settings import Settings, load_settings
from streams.sources.database import DatabaseRows
from streams.sources.window import EARLIER, Window

WIDE = 180
"""Characters of a table's line where there is no terminal."""
_CALLS_OF_A_TABLE = 1_000
"""After so many the table begins anew: its columns are as wide as their calls need."""


def classify(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|URL]...",
            help="CSV with a header, JSON, what mysql, psql and sqlite3 print, or recorded cases; UTF-16 and .gz too; "
            "- or nothing: standard input. Or a database: "
            "mysql://user@host:3306/asteriskcdrdb?table=cel, mariadb://.., postgresql://..",
            show_default=False,
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Calls that began at this row id, or PBX's time, or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls that began before this row id, or PBX's time.")] = None,
    as_json: JsonOption = False,
    truth: Annotated[
        bool, typer.Option("--truth", help="Compare with the truth in files of recorded cases; exit 1 if they differ.")
    ] = False,
    rules_file: RulesOption = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="With --rules: only the calls told differently, before and after.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Processes that classify, with --json. Default: one a core for large files.",
            show_default=False,
        ),
    ] = None,
    columns: ColumnsOption = None,
    pbx: Annotated[
        str | None,
        typer.Option("--pbx", metavar="NAME", help="Of several PBXs, whose rows they are.", show_default=False),
    ] = None,
    settings_file: SettingsOption = None,
) -> None:
    """Tell each call of a file or a database: direction, who talked, result, and what each CRM would show.

    Rows of many calls may be mixed, in the order of their ids; without ids the order of the file counts.

    A database is only read (SELECT by id, page by page); what its URL leaves out is taken from the settings. Its
    password never stands in the URL: database.password_file, or the variable CEL2CRM_DATABASE__PASSWORD.

    Exit status 0: every row was read; 1: some could not be, and their calls carry the warning rows_unreadable; 2: none
    could be, or a mistake.

    Examples:

        mysql --batch -e 'select * from asteriskcdrdb.cel order by id' | cel2crm classify

        cel2crm classify --json rows.jsonl | jq 'select(.answered | not)'

        cel2crm classify mariadb://cel2crm@10.0.0.5/asteriskcdrdb --since '2026-11-22 08:00' --until 2026-11-23

        cel2crm classify rows.csv --rules my-rules.yaml --compare

        cel2crm classify --columns cel_custom /var/log/asterisk/cel-custom/Master.csv
    """
    settings = _own(settings_with_rules(settings_file, rules_file), pbx)
    window, database = Window.of(since, until), one_database(sources or [], settings)
    paths = [None if source == "-" else Path(source) for source in sources or ["-"]] if database is None else []
    if truth:
        raise typer.Exit(_report_truth(paths, settings))
    _refuse(paths, compare=compare, rules_file=rules_file)
    named = columns_named(columns) if columns else None
    telling = (
        RulesComparison(_own(load_settings(settings_file), pbx), settings) if compare else _Classification(settings)
    )
    if PbxProfile.of(settings).two_status_mode:
        remark("cel_extra is read from column id: two statuses only, all details are given away")
    unreadable = UnreadableRows()
    alone = not as_json or compare or database is not None or bool(since or until)
    if not alone and (processes := classifying_processes(jobs, paths)):
        classifiers = Classifiers([path for path in paths if path is not None], settings, processes, named)
        _in_processes(classifiers, paths, unreadable)
        raise typer.Exit(SOME_UNREADABLE if unreadable.count else 0)
    remarks = dict[str, None]()

    def lost(line: UnreadableLine) -> None:
        unreadable(line)
        telling.classifier.lost(line.linkedids)

    decoder, console = RowDecoder(settings.database.column_name_aliases, settings.pbx.name), console_of(WIDE)
    with _progress(of_bytes=database is None) as progress, ExitStack() as opened:
        if database is None:
            task = progress.add_task("rows", total=_size(paths))
            advance = lambda read: progress.advance(task, read)  # noqa: E731
            source = RowSource(
                decoder, lost, advance, columns=named, on_remark=lambda words: remarks.update({words: None})
            )
            rows = _file_rows(paths, source)
        else:
            rows = _table_rows(opened.enter_context(DatabaseRows(database, decoder)), window, lost, progress)
        rows = window.rows(rows, in_order=database is not None)
        if as_json:
            say_json_lines(telling.json_lines(rows))
        else:
            for table in telling.tables(rows, console.width):
                progress.stop()  # it stands on the same terminal
                console.print(table)
                progress.start()
    unreadable.report()
    for words in filter(None, (*remarks, telling.remark, _strays(telling.classifier.strays))):
        remark(words)
    raise typer.Exit(SOME_UNREADABLE if unreadable.count else 0)


def _in_processes(classifiers: Classifiers, paths: list[Path | None], unreadable: UnreadableRows) -> None:
    with _progress(of_bytes=True) as progress:
        task = progress.add_task("rows", total=_size(paths))
        shown = 0
        for line in classifiers.lines():
            sys.stdout.buffer.write(printable_json(line))
            if classifiers.read != shown:
                shown = classifiers.read
                progress.update(task, completed=shown)
    for lost in classifiers.unreadable:
        unreadable(lost)
    unreadable.report()
    for words in filter(None, (*classifiers.remarks, _strays(classifiers.strays))):
        remark(words)


def _own(settings: Settings, pbx: str | None) -> Settings:
    return settings if pbx is None else settings.of_pbx(pbx)


def _report_truth(paths: list[Path | None], settings: Settings) -> int:
    named = [path for path in paths if path is not None]
    if not named:
        raise UserError("--truth needs a file of recorded cases", "Give the file's name.")
    return 0 if report_truth(named, load_rules(settings.rules), PbxProfile.of(settings)) else 1


def _refuse(paths: list[Path | None], *, compare: bool, rules_file: Path | None) -> None:
    if paths == [None] and sys.stdin.isatty():
        raise UserError("no file given, and standard input is a terminal", "See cel2crm classify --help.")
    if compare and rules_file is None:
        raise UserError("--compare needs other rules to compare with", "Name them: --rules FILE.")


def _strays(rows: int) -> str:
    return f"{rows} rows came long after the end of their calls and were left out" if rows else ""


class _Classification:
    """Every call's outcome."""

    remark = ""

    def __init__(self, settings: Settings) -> None:
        self._rules, self._settings = load_rules(settings.rules), settings
        self.classifier = OfflineClassifier(
            self._rules,
            PbxProfile.of(settings),
            settings.pbx.name,
            give_up_seconds=settings.aggregate.time_limit_seconds,
        )

    def json_lines(self, rows: Iterator[CapturedRow]) -> Iterator[bytes]:
        return (line for line, _ in Outcomes(self._rules, self._settings).json_lines(self.classifier, rows))

    def tables(self, rows: Iterator[CapturedRow], width: int) -> Iterator[Table]:
        """Tables of some calls each, as they come."""
        results = self.classifier.classify(rows)
        some = list(islice(results, _CALLS_OF_A_TABLE))
        yield outcome_table(iter(some), self._rules, width)  # also where there is no call: the head alone
        while some := list(islice(results, _CALLS_OF_A_TABLE)):
            yield outcome_table(iter(some), self._rules, width)


def _size(paths: list[Path | None]) -> int | None:
    """Bytes of the files; None where it is not known."""
    sizes = [path.stat().st_size for path in paths if path is not None and path.is_file()]
    return sum(sizes) if sizes and len(sizes) == len(paths) else None


def _file_rows(paths: list[Path | None], source: RowSource) -> Iterator[CapturedRow]:
    for path in paths:
        yield from source.rows(path, None if path else sys.stdin.buffer)


def _table_rows(
    table: DatabaseRows, window: Window, lost: Callable[[UnreadableLine], None], progress: Progress
) -> Iterator[CapturedRow]:
    first, since = 0, window.since
    if since is not None:
        first = since.row_id if since.row_id is not None else table.first_id_since((since.wall or 0) - EARLIER)
    task = progress.add_task("row ids", total=max(0, table.highest_id() + 1 - first))
    table.on_unreadable, table.on_progress = lost, lambda ids: progress.advance(task, ids)
    return table.rows(first)


def _progress(*, of_bytes: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if of_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
