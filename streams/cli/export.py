"""`cel2crm export`: calls, or raw rows, as Parquet files by day."""

import asyncio
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption
from streams.cli.output import remark, say
from streams.clock import utc_now_us
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations.status.view import complete_words
from streams.settings import Settings, load_settings

INCOMPLETE = 1
"""Exit status: some records could not be read."""


def export(
    to: Annotated[Path, typer.Option("--to", help="The directory to write to; it is made where it is not there.")],
    since: Annotated[
        str | None, typer.Option("--since", help="Only what began on that day or later, UTC: 2026-11-25.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only what began before that day, UTC.")] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="The raw rows, as a replay reads them, by the day of their capture.")
    ] = False,
    settings_file: SettingsOption = None,
) -> None:
    """Write calls and their legs as Parquet files, one of each a day (UTC), of each call its newest version.

    With --rows: what stands on the topic of rows instead, bytes for bytes, by the day on which it was written there.

    A file is there whole or not at all. Given again, the command writes the days that are missing or have changed, and
    leaves the others as they are; it never takes a call out of a file, though the topic may have lost it to retention.
    For DuckDB, Spark, Polars and whatever else reads Parquet (docs/analytics.md). Needs the extra `export`
    (docs/package.md).

    Exit status 0: done; 1: done, but records of the topics could not be read; 2: it cannot be written.

    Examples:

        cel2crm export --to /srv/calls --since 2026-11-01 --until 2026-12-01

        cel2crm export --rows --to /srv/calls

        duckdb -c "from '/srv/calls/call_results/*/*.parquet' select outcome, count(*) group by all"
    """
    first, end = _day(since, "--since"), _day(until, "--until")
    if first is not None and end is not None and first >= end:
        raise UserError("--until is not after --since: there is no day between them", "Give a later --until.")
    settings = load_settings(settings_file)
    quiet_kafka_client()
    if rows:
        asyncio.run(_export_rows(settings, to, first, end))
        return
    unreadable = asyncio.run(_export(settings, to, first, end))
    if unreadable:
        remark(f"{unreadable} records of the topics cannot be read, and are missing from the files")
        raise typer.Exit(INCOMPLETE)


async def _export(settings: Settings, to: Path, first: date | None, until: date | None) -> int:
    module = _module("export")
    calls = days = 0

    def told(day: Any) -> None:
        nonlocal calls, days
        calls, days = calls + day.calls, days + 1
        say(f"{day.day}  {day.calls:,} calls, {day.legs:,} legs{'' if day.changed else ': unchanged'}")

    async with operations.connect(settings) as connection:
        export = module.Export(connection, to, first, until)
        await export.run(told)
    say(f"{days} days, {calls:,} calls in {to}" if days else "no calls")
    for each in export.complete:
        say(f"calls of {each.pbx}: {complete_words(each, utc_now_us())}")
    return int(export.unreadable)


async def _export_rows(settings: Settings, to: Path, first: date | None, until: date | None) -> None:
    module = _module("row_files")
    rows = days = 0

    def told(day: Any) -> None:
        nonlocal rows, days
        rows, days = rows + day.rows, days + 1
        say(f"{day.day}  {day.rows:,} rows" + (f", {day.added:,} of them new" if day.added else ": unchanged"))

    async with operations.connect(settings) as connection:
        await module.RowExport(connection, to, first, until).run(told)
    say(f"{days} days, {rows:,} rows in {to}" if days else "no rows")


def _module(name: str) -> Any:
    """A module of streams.analysis that needs pyarrow. Raises UserError: that is not installed."""
    try:
        return import_module(f"streams.analysis.{name}")
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise UserError(
            "export needs pyarrow", "Install cel2crm with its extra `export` (docs/package.md), or pip install pyarrow."
        ) from None


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is not a day", "Days are written whole: give one as 2026-11-25.") from None
