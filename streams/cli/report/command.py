"""`cel2crm report`: what calls of a period came to, for people."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.analysis.report.calls import ReportCall, period_of, report_call
from streams.analysis.report.figures import Report, report_of
from streams.analysis.report.words import Words, checked_language
from streams.analysis.result_filter import checked_pbx
from streams.analysis.truth import Truths, read_truths
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import remark, say
from streams.cli.replay.output_file import whole_file
from streams.cli.report.forms import say_csv_report, say_json_report, say_tables
from streams.cli.results import PbxOption
from streams.cli.verdict_line import verdict_line
from streams.clock import UtcMicros, utc_now_us
from streams.errors import UserError
from streams.operations import connection as operations
from streams.settings import Settings, load_settings

INCOMPLETE = 1
"""Exit status: some records could not be read."""
_DAYS = 7


def report(
    since: Annotated[
        str | None, typer.Option("--since", help="From then on, by the PBX's clock: 2026-11-25, or with a time.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only before then, by the PBX's clock.")] = None,
    pbx: PbxOption = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one page with plots.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The figures as CSV, for a spreadsheet.")] = False,
    as_json: JsonOption = False,
    language: Annotated[str, typer.Option("--language", metavar="en|ru", help="Of the table and the page.")] = "en",
    settings_file: SettingsOption = None,
) -> None:
    """Report on a period: outcomes, answer rates, times to answer, missed calls and call backs, failures, talk.

    Without --since, of the 7 days before its end. Times are those of the PBX's clock, unless they name a zone. --html
    writes a page of one file that needs no network, with plots and filters, for screens, telephones and paper; it needs
    pip install 'cel2crm[report]'. docs/analytics.md tells what each figure means. Only reads. Clients' numbers stand in
    the page alone. Phone numbers are masked with `logging: {mask_numbers: true}`.

    Exit status 0: done; 1: done, but records of the topic could not be read; 2: it cannot be made.

    Examples:

        cel2crm report --since 2026-11-01 --until 2026-12-01 --html november.html

        cel2crm report --since 2026-11-25 --csv > day.csv
    """
    if (html is not None) + as_csv + as_json > 1:
        raise UserError("--html, --csv and --json exclude each other", "Give one of them.")
    if html is not None and not html.name:
        raise UserError(f"--html {html} names no file", "Give one, such as report.html.")
    settings, now = load_settings(settings_file), utc_now_us()
    mask = settings.logging.mask_numbers
    words = Words(checked_language(language))
    period = period_of(since, until, now, _DAYS)
    named = checked_pbx(pbx, settings)
    page = _page_module() if html is not None else None
    truths = Truths(lambda _, call: report_call(call, mask_numbers=mask))
    quiet_kafka_client()
    with verdict_line(settings):
        asyncio.run(_read(settings, truths, period.earliest))
        made = report_of(truths.all(), period, named)
        if not made.calls:
            tell = remark if as_csv or as_json else say
            tell(words.fill("no_calls", **made.edges))
        elif page is not None and html is not None:
            _write(html, page.page_of(made, page.PageOptions(language, now, mask)))
            say(f"{len(made.calls):,} calls in {html}")
        else:
            _say(made, words, as_csv=as_csv, as_json=as_json)
        if truths.unreadable:
            remark(f"{truths.unreadable} records of the topic cannot be read, and are missing from the report")
            raise typer.Exit(INCOMPLETE)


def _write(path: Path, page: str) -> None:
    """Raises UserError: no place for it."""
    with whole_file(path) as file:
        file.write(page.encode())


def _say(made: Report, words: Words, *, as_csv: bool, as_json: bool) -> None:
    if as_csv:
        say_csv_report(made)
    elif as_json:
        say_json_report(made)
    else:
        say_tables(made, words)


async def _read(settings: Settings, truths: Truths[ReportCall], since: UtcMicros) -> None:
    async with operations.connect(settings) as connection:
        await read_truths(connection, truths, since)


def _page_module() -> Any:
    """Raises UserError: altair is not installed."""
    try:
        from streams.analysis.report import page
    except ModuleNotFoundError as error:
        if error.name not in ("altair", "vl_convert"):
            raise
        raise UserError("--html needs altair", "Install it: pip install 'cel2crm[report]'") from None
    return page
