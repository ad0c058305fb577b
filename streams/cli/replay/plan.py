"""`cel2crm replay plan`."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.option_group import with_options
from streams.cli.options import JsonOption, SettingsOption, settings_with_rules
from streams.cli.output import add_remark, say_json, say_lines
from streams.cli.replay.selection_options import SelectionOptions
from streams.clock import MICROS_PER_SECOND, format_span, format_time
from streams.replay import opening
from streams.replay.plan import Plan, plan_of
from streams.replay.ranges import PartitionRange
from streams.settings import Settings, load_settings

EXPIRED = 1
"""Exit status: part of what was asked for is gone."""

RulesFile = Annotated[
    Path | None, typer.Option("--rules", help="A rule file instead of those in the settings, to judge by.")
]


@with_options(SelectionOptions)
def plan(
    options: SelectionOptions,
    rules_file: RulesFile = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Say what a replay would read: offsets, rows, bytes, time, and what retention has taken away. Writes nothing.

    Exit status 0: all that is asked for is there; 1: some of it is gone; 2: it cannot be said.

    Examples:

        cel2crm replay plan

        cel2crm replay plan --since '2026-11-22 08:00' --pbx office

        cel2crm replay plan --from-offset 0:1000,1:1200 --to-offset 0:9000,1:9500
    """
    settings = settings_with_rules(settings_file, rules_file)
    quiet_kafka_client()
    found = asyncio.run(_plan(load_settings(settings_file), settings, options))
    if as_json:
        say_json(to_json(found))
    else:
        say_lines(lines_of(found))
    if found.expired:
        raise typer.Exit(EXPIRED)


async def _plan(settings: Settings, judging: Settings, options: SelectionOptions) -> Plan:
    options.check(settings)
    async with opening.open_replay(settings) as (connection, source):
        replay = await opening.replay_of(connection, source, await options.selection(connection), judging)
        return await plan_of(replay, opening.rules_hash_of(replay))


def lines_of(plan: Plan) -> Iterator[str]:
    """The plan for a person."""
    yield f"{plan.topic}, judged by rules {plan.rules_hash}"
    for each in plan.ranges:
        asked = f"calls that begin at {each.first} to {each.last - 1}" if each.last > each.first else "nothing is meant"
        read = f"; offsets {each.read_from} to {each.read_to - 1} are read" if each.rows else ""
        yield f"  partition {each.partition}: {asked}{read}"
        if each.expired:
            yield f"    {_expired(each)}"
    if plan.first_kept_ms is not None:
        yield f"the first rows that the topic holds came at {format_time(plan.first_kept_ms * 1000)}"
    size = plan.rows * plan.row_bytes / 1e6
    span = format_span(plan.seconds * MICROS_PER_SECOND)
    yield f"{plan.rows:,} rows at most, about {size:,.1f} MB; about {span} in one process, by a sample of them"


def _expired(place: PartitionRange) -> str:
    return f"{place.expired:,} offsets before {place.kept_from} were asked for: retention has removed them"


def remark_expired(ranges: Iterable[PartitionRange]) -> None:
    """Say which part of what is asked for is not there any more: its calls are neither judged nor listed."""
    for each in ranges:
        if each.expired:
            add_remark(f"partition {each.partition}: {_expired(each)}")


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs."""
    return {
        "topic": plan.topic,
        "rules_hash": plan.rules_hash,
        "rows": plan.rows,
        "bytes": round(plan.rows * plan.row_bytes),
        "seconds": round(plan.seconds, 1),
        "first_kept_ms": plan.first_kept_ms,
        "partitions": [
            {
                "partition": each.partition,
                "kept_from": each.kept_from,
                "read_from": each.read_from,
                "from": each.first,
                "to": each.last,
                "read_to": each.read_to,
                "expired": each.expired,
            }
            for each in plan.ranges
        ],
    }
