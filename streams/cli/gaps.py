"""`cel2crm gaps`: what is in the table and not on the topic, or on the topic and in no result."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from connectors.gap_memory import write_gap_outcome
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, say_json, say_lines
from streams.cli.pbx_option import PbxOption, chosen_pbxs, for_each_pbx
from streams.errors import UserError
from streams.gaps.comparison import OnProgress, Since, open_comparison
from streams.gaps.findings import Findings
from streams.gaps.outcome import outcome_of
from streams.gaps.report import lines_of, to_json
from streams.settings import Settings, load_settings
from streams.sources.window import Bound

FOUND = 1
"""Exit status: something is missing, or not settled yet."""


def gaps(
    since: Annotated[
        str | None,
        typer.Option("--since", help="Compare from then on: a row id, or the PBX's own clock."),
    ] = None,
    as_json: JsonOption = False,
    pbx: PbxOption = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for connector and worker before the second look.")
    ] = 180.0,
    settings_file: SettingsOption = None,
) -> None:
    """Compare the PBX's table, the cel topic and the results: what is missing, and the command that heals it.

    Rows of the table that never reached the topic, from the topic's first kept row on; and calls whose rows are on the
    topic, and that no result shows, nor dead letter, nor open call. What a first look misses counts only when a second
    one does, after the connector has passed the place where the database stood, and the worker the end of the topic.
    Only reads. A million rows take less than a minute; --since takes less.

    Exit status 0: nothing is missing; 1: something is, or the capture stands still before rows that are not on the
    topic; 2: it cannot be compared.

    Examples:

        cel2crm gaps

        cel2crm gaps --since '2026-11-24 08:00'
    """
    chosen = chosen_pbxs(load_settings(settings_file), pbx)
    bound = None if since is None else Bound.of(since, "--since")
    quiet_kafka_client()
    missing = False

    def compare(settings: Settings) -> None:
        nonlocal missing
        with _progress() as on_progress:
            found = asyncio.run(_compare(settings, bound, patience, on_progress))
        if as_json:
            say_json(to_json(found))
        else:
            say_lines(lines_of(found))
        missing |= bool(found.found or found.unsettled)

    for_each_pbx(chosen, compare)
    if missing:
        raise typer.Exit(FOUND)


async def _compare(settings: Settings, bound: Bound | None, patience: float, on_progress: OnProgress) -> Findings:
    async with open_comparison(settings) as comparison:
        comparison.on_progress, comparison.patience_seconds = on_progress, patience
        found = await comparison.run(await Since.of(bound, comparison.table))
        if bound is None:
            try:
                await write_gap_outcome(settings, comparison.connection.topics, outcome_of(found))
            except UserError as error:  # what was found is told all the same
                add_remark(f"the outcome is not remembered: {error.problem}")
    return found


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Stages on standard error: with bars on a terminal, else a line each."""
    tty = sys.stderr.isatty()
    stages: dict[str, TaskID] = {}
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not tty) as progress:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                for task in stages.values():
                    progress.stop_task(task)
                stages[stage] = progress.add_task(stage, total=total or None)
                if not tty:
                    add_remark(f"{stage} ..")
            progress.update(stages[stage], completed=done, total=total or None)

        yield report
