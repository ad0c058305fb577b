"""`cel2crm replay diff`."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from streams.cli.classify.outcomes import Outcomes
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.option_group import with_options
from streams.cli.options import JsonOption, SettingsOption, settings_with_rules
from streams.cli.output import add_remark, say_json, say_json_line, say_lines
from streams.cli.replay.bar import progress_shown
from streams.cli.replay.output_file import whole_file
from streams.cli.replay.plan import RulesFile, remark_expired
from streams.cli.replay.selection_options import SelectionOptions
from streams.cli.replay.told import CSV_HEAD, DifferenceWriter, summary_lines, summary_object
from streams.errors import UserError
from streams.kafka.collector import fewer_collections
from streams.replay import opening
from streams.replay.comparison import Kind, Replay
from streams.rules import load_rules
from streams.settings import Settings, load_settings

DIFFERS = 1
"""Exit status: some call differs, or could not be judged."""
MOST_TOLD = 50
"""Calls that are told one by one without -o."""

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Every call to this file: .jsonl, or .csv.")
]


@with_options(SelectionOptions)
def diff(
    options: SelectionOptions,
    output: OutputOption = None,
    rules_file: RulesFile = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Judge calls anew from their rows, and show which have another outcome than call-results says. Writes nothing.

    With --rules: what another rule file would change, call by call and in numbers, in results and in what CRMs show. A
    call counts as differing when anything but its version, its rules and its reasons does. Calls of which not all rows
    were read are listed, and never published.

    Exit status 0: every call has the outcome that stands there; 1: some differ, or could not be judged; 2: it cannot
    be told.

    Examples:

        cel2crm replay diff --since 2026-11-22 --rules my-rules.yaml

        cel2crm replay diff --since 2026-11-22 --until 2026-11-23 -o changes.csv

        cel2crm replay diff --dead-letters --json | jq 'select(.kind == "no_result")'
    """
    settings, judging = load_settings(settings_file), settings_with_rules(settings_file, rules_file)
    if output is not None and output.suffix not in (".jsonl", ".csv"):
        raise UserError(f"{output} is neither .jsonl nor .csv", "The form of the file follows its name.")
    quiet_kafka_client()
    writer = DifferenceWriter(
        Outcomes(load_rules(settings.rules), settings), Outcomes(load_rules(judging.rules), judging)
    )
    with fewer_collections():
        replay = asyncio.run(_diff(settings, judging, options, writer, output, as_json=as_json))
    summary = summary_object(replay.counts, writer.statuses, opening.rules_hash_of(replay))
    if as_json:
        say_json({"summary": summary})
    else:
        say_lines(summary_lines(replay.counts, writer.statuses))
    if replay.counts.differing or replay.counts.not_judged or replay.counts.kinds[Kind.STATUS]:
        raise typer.Exit(DIFFERS)


async def _diff(
    settings: Settings,
    judging: Settings,
    options: SelectionOptions,
    writer: DifferenceWriter,
    output: Path | None,
    *,
    as_json: bool,
) -> Replay:
    options.check(settings)
    async with opening.open_replay(settings) as (connection, source):
        selection = await options.selection(connection)
        with ExitStack() as opened:
            # Before the bar: a file that cannot be written is said at once.
            take = _taker(output, writer, opened, as_json=as_json)
            report = opened.enter_context(progress_shown())
            replay = await opening.replay_of(connection, source, selection, judging, report=report)
            remark_expired(replay.ranges)
            await opening.with_results(replay)
            replay.shown_otherwise = writer.shown_otherwise
            async for found in replay.differences():
                take(writer.as_object(found))
            opening.refuse_absent(selection, replay.counts.judged + replay.counts.not_judged)
    return replay


def _taker(
    output: Path | None, writer: DifferenceWriter, opened: ExitStack, *, as_json: bool
) -> Callable[[dict[str, Any]], None]:
    """What is done with each call: written to the file, or told."""
    if output is not None:
        return _into(opened.enter_context(whole_file(output)), output.suffix == ".csv", writer)
    if as_json:
        return lambda told: say_json_line(writer.json_line(told))
    told_so_far = 0

    def tell(told: dict[str, Any]) -> None:
        nonlocal told_so_far
        told_so_far += 1
        if told_so_far <= MOST_TOLD:
            say_lines(writer.in_words(told))
        elif told_so_far == MOST_TOLD + 1:
            sys.stdout.flush()
            add_remark(".. and more: -o FILE has all of them")

    return tell


def _into(file: IO[bytes], csv: bool, writer: DifferenceWriter) -> Callable[[dict[str, Any]], None]:
    if csv:
        file.write((",".join(CSV_HEAD) + "\r\n").encode())
    encode = writer.csv_lines if csv else writer.json_line

    def take(told: dict[str, Any]) -> None:
        file.write(encode(told))

    return take
