"""`cel2crm replay run`, `resume`: results into topics of their own, by one process or several."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.option_group import with_options
from streams.cli.options import JsonOption, SettingsOption, settings_with_rules
from streams.cli.output import add_remark, remark, say, say_json
from streams.cli.prompts import ASK_FROM, ByOption, YesOption, confirm, operator_name
from streams.cli.replay.bar import progress_shown
from streams.cli.replay.plan import RulesFile, remark_expired
from streams.cli.replay.selection_options import SelectionOptions
from streams.cli.replay.standing import line_of, to_json
from streams.clock import MICROS_PER_SECOND, format_span
from streams.errors import UserError
from streams.kafka.collector import fewer_collections
from streams.operations.erased_numbers import erased_numbers
from streams.replay import opening
from streams.replay.control import KafkaControlLog, checked_name, results_topic, rules_of
from streams.replay.group import KafkaGroup
from streams.replay.judge import NotJudged
from streams.replay.member import Member, Stopped
from streams.replay.plan import plan_of
from streams.replay.running import Standing, begin, control_of, make_topics, refuse_taken, resumed, standings
from streams.settings import Settings, load_settings

INCOMPLETE = 1
"""Exit status: some calls could not be judged, or the replay was cancelled."""
INTERRUPTED = 130

_MOST_NAMED = 20

WorkersOption = Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes on this machine.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the replay.")]


@with_options(SelectionOptions)
def run(
    options: SelectionOptions,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="NAME", help="Name of the replay: a new one; ends its topics' names."),
    ] = None,
    join: Annotated[
        str | None, typer.Option("--join", metavar="NAME", help="Help with a replay that is under way.")
    ] = None,
    workers: WorkersOption = 1,
    rules_file: RulesFile = None,
    yes: YesOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Judge calls anew into topics of their own, to compare with or to rebuild from: live results are not touched.

    The results of every call that is meant go to <prefix>.call-results.NAME and <prefix>.call-legs.NAME. The work is
    shared by partition: --join on any machine with the same settings helps, --workers makes processes here. Whoever is
    stopped or killed, others go on, and `replay resume NAME` does what is left.

    Exit status 0: done; 1: some calls could not be judged, or the replay was cancelled; 2: it cannot be done;
    130: stopped by Ctrl-C.

    Examples:

        cel2crm replay run --into november --since 2026-11-01 --until 2026-12-01 --workers 2

        cel2crm replay run --join november
    """
    settings = load_settings(settings_file)
    quiet_kafka_client()
    if (into is None) == (join is None):
        raise UserError("it is not said which replay", "Give one of --into, for a new one, and --join.")
    if join is not None:
        name = checked_name(join)
    else:
        name = checked_name(into or "")
        judging = settings_with_rules(settings_file, rules_file)
        asyncio.run(_begin(name, settings, judging, options, operator_name(by), yes=yes))
    _work(name, settings, workers, settings_file, as_json=as_json)


def resume(
    name: NameArgument,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Go on with a replay that was stopped, killed or cancelled: with what it was begun with, and what is left.

    Exit status as of `replay run`.
    """
    settings = load_settings(settings_file)
    quiet_kafka_client()
    asyncio.run(_resume(checked_name(name), settings))
    _work(name, settings, workers, settings_file, as_json=as_json)


async def _begin(
    name: str, settings: Settings, judging: Settings, options: SelectionOptions, by: str, *, yes: bool
) -> None:
    options.check(settings)
    async with opening.open_replay(settings) as (connection, source):
        log = KafkaControlLog(connection)
        await refuse_taken(name, log, settings)
        replay = await opening.replay_of(connection, source, await options.selection(connection), judging)
        remark_expired(replay.ranges)
        plan = await plan_of(replay, opening.rules_hash_of(replay))
        span = format_span(plan.seconds * MICROS_PER_SECOND)
        remark(f"{plan.rows:,} rows at most, judged by rules {plan.rules_hash}; about {span} in one process")
        confirm(f"Judge them into {settings.kafka.topic(results_topic(name))}?", ASK_FROM, yes=yes)
        await opening.with_results(replay)
        await begin(control_of(name, replay, judging, by, (await log.all()).values()), log, settings)


async def _resume(name: str, settings: Settings) -> None:
    async with opening.open_replay(settings) as (connection, _):
        await resumed(name, KafkaControlLog(connection))
        await make_topics(name, settings)


def _work(name: str, settings: Settings, workers: int, settings_file: Path | None, *, as_json: bool) -> None:
    try:
        if workers > 1:
            _in_processes(name, workers, settings_file)
        else:
            with fewer_collections():
                asyncio.run(_member(name, settings))
    except KeyboardInterrupt:
        remark(f"stopped; cel2crm replay resume {name} goes on where it was")
        raise typer.Exit(INTERRUPTED) from None
    except Stopped:
        remark(f"replay {name} was cancelled; cel2crm replay resume {name} goes on with it")
        raise typer.Exit(INCOMPLETE) from None
    (told,) = asyncio.run(_standing(name, settings))
    if as_json:
        say_json(to_json(told))
    else:
        say(line_of(told))
    if told.not_judged:
        raise typer.Exit(INCOMPLETE)


def _in_processes(name: str, workers: int, settings_file: Path | None) -> None:
    """Raises UserError where one failed, Stopped where the replay was cancelled."""
    command = [sys.executable, "-m", "streams.cli.main", "replay", "run", "--join", name, "--json"]
    if settings_file is not None:
        command += ["--settings", str(settings_file)]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(workers)]
    try:
        statuses = [child.wait() for child in children]
    except KeyboardInterrupt:  # the terminal tells them too
        for child in children:
            child.wait()
        raise
    if failed := [status for status in statuses if status not in (0, INCOMPLETE)]:
        raise UserError(
            f"{len(failed)} of {workers} processes ended before the replay did",
            f"cel2crm replay resume {name} goes on.",
        )


async def _member(name: str, settings: Settings) -> None:
    async with opening.open_replay(settings) as (connection, source):
        log = KafkaControlLog(connection)
        found = (await log.all()).get(name)
        if found is None:
            raise UserError(f"there is no replay {name}", "Begin one: cel2crm replay run --into NAME.")
        replay_rules = rules_of(found, settings)
        with progress_shown() as report:
            erased = await erased_numbers(connection)
            replay = opening.member_replay(
                connection, source, found, settings, *replay_rules, erased=erased, report=report
            )
            async with KafkaGroup(settings.kafka, found.group, found.topic) as group:
                pause = partial(asyncio.sleep, 0.5)
                member = Member(connection, found, log, group, replay, pause)
                await member.run()
    _name_unjudged(member)


def _name_unjudged(member: Member) -> None:
    told: Sequence[NotJudged] = member.not_judged
    for each in told[:_MOST_NAMED]:
        add_remark(f"not judged: {each.call_id}: {each.words}")
    if len(told) > _MOST_NAMED:
        add_remark(".. and more: cel2crm replay diff lists them")


async def _standing(name: str, settings: Settings) -> list[Standing]:
    async with opening.open_replay(settings) as (connection, _):
        return await standings(connection, KafkaControlLog(connection), name)
