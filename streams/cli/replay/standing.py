"""`cel2crm replay status`, `cancel`, `drop`."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import say, say_json
from streams.cli.prompts import ASK_FROM, YesOption, confirm
from streams.clock import format_time
from streams.replay import opening
from streams.replay.control import KafkaControlLog, ReplayState, checked_name, legs_topic, results_topic
from streams.replay.running import Standing, cancelled, dropped, standings
from streams.settings import Settings, load_settings
from streams.topics import CALL_RESULTS

UNFINISHED = 1
"""Exit status: a replay is not done, and no member works at it."""

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the replay.")]


def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One replay; else all that are known.")] = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Say how far replays are, and how many members work at each.

    Exit status 0: each is done, cancelled, or worked at; 1: one is not done and nobody works at it; 2: it cannot be
    told.
    """
    quiet_kafka_client()
    told = asyncio.run(_standings(load_settings(settings_file), name))
    for each in told:
        if as_json:
            say_json(to_json(each))
        else:
            say(line_of(each))
    if not told and not as_json:
        say("no replay is known")
    if any(_left_alone(each) for each in told):
        raise typer.Exit(UNFINISHED)


def _left_alone(told: Standing) -> bool:
    control = told.control
    return control.state is ReplayState.RUNNING and not told.members and not control.publishes


def cancel(name: NameArgument, as_json: JsonOption = False, settings_file: SettingsOption = None) -> None:
    """Have the members of a replay stop, within seconds. What they wrote stays; `replay resume` goes on with it."""
    quiet_kafka_client()
    asyncio.run(_cancel(load_settings(settings_file), checked_name(name)))
    _said({"name": name, "state": "cancelled"}, f"replay {name} is cancelled", as_json=as_json)


def drop(
    name: NameArgument, yes: YesOption = False, as_json: JsonOption = False, settings_file: SettingsOption = None
) -> None:
    """Delete a replay: its topics, with all results on them, and what is known of it. Live topics are not touched."""
    settings = load_settings(settings_file)
    quiet_kafka_client()
    topics = [settings.kafka.topic(each(checked_name(name))) for each in (results_topic, legs_topic)]
    confirm(f"Delete {' and '.join(topics)}?", ASK_FROM, yes=yes)
    asyncio.run(_drop(settings, name))
    _said({"name": name, "state": "dropped"}, f"replay {name} is deleted", as_json=as_json)


def _said(told: Mapping[str, str], words: str, *, as_json: bool) -> None:
    if as_json:
        say_json(told)
    else:
        say(words)


async def _standings(settings: Settings, name: str | None) -> list[Standing]:
    async with opening.open_replay(settings) as (connection, _):
        return await standings(connection, KafkaControlLog(connection), name)


async def _cancel(settings: Settings, name: str) -> None:
    async with opening.open_replay(settings) as (connection, _):
        await cancelled(name, KafkaControlLog(connection))


async def _drop(settings: Settings, name: str) -> None:
    async with opening.open_replay(settings) as (connection, _):
        await dropped(name, KafkaControlLog(connection), settings)


_PUBLISHED = {
    ReplayState.RUNNING: "under way, or stopped: then cel2crm replay publish again publishes the rest",
    ReplayState.DONE: "done",
    ReplayState.CANCELLED: "cancelled",
}


def line_of(told: Standing) -> str:
    """A replay for a person."""
    control = told.control
    if control.publishes:
        begun = f"begun {format_time(control.started_at)} by {control.by}"
        return f"{control.name}: corrections into the live topics, {_PUBLISHED[control.state]}; {begun}"
    share = f"{told.rows_done / control.rows:.0%}" if control.rows else "all"
    unjudged = f", {told.not_judged:,} could not be judged" if told.not_judged else ""
    words = f"{control.name}: {control.state.value}, {share} of {control.rows:,} rows, {told.judged:,} calls{unjudged}"
    if control.state is ReplayState.RUNNING:
        goes_on = f"{told.members} members at work" if told.members else f"cel2crm replay resume {control.name} goes on"
        words += f"; {goes_on}"
    return f"{words}; begun {format_time(control.started_at)} by {control.by}"


def to_json(told: Standing) -> dict[str, Any]:
    """A replay for programs."""
    control = told.control
    return {
        "name": control.name,
        "state": control.state.value,
        "publishes": control.publishes,
        "members": told.members,
        "rows": control.rows,
        "rows_done": told.rows_done,
        "judged": told.judged,
        "not_judged": told.not_judged,
        "correction": control.correction,
        "rules_hash": control.rules_hash,
        "started_at": control.started_at,
        "by": control.by,
        "topic": CALL_RESULTS if control.publishes else results_topic(control.name),
    }
