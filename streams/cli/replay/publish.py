"""`cel2crm replay publish`."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.option_group import with_options
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, remark, say, say_json
from streams.cli.prompts import ASK_FROM, ByOption, YesOption, confirm, operator_name
from streams.cli.replay.bar import progress_shown
from streams.cli.replay.plan import remark_expired
from streams.cli.replay.selection_options import SelectionOptions
from streams.errors import UserError
from streams.gaps.taken import taken_by_worker
from streams.kafka.admin import KafkaAdmin
from streams.kafka.collector import fewer_collections
from streams.operations.connection import Connection
from streams.replay import opening
from streams.replay.comparison import Replay
from streams.replay.control import Control, ControlLog, KafkaControlLog, ReplayState
from streams.replay.publishing import Corrections, corrections_of, publish, refuse_other_rules, rules_in_force
from streams.replay.running import control_of
from streams.settings import Settings, load_settings

INCOMPLETE = 1
"""Exit status: calls could not be judged, or their results are still to come from the worker."""

_MOST_NAMED = 20


@with_options(SelectionOptions)
def publish_corrections(
    options: SelectionOptions,
    yes: YesOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Publish the calls whose outcome differs, by the rules in force, as corrections on call-results and call-legs.

    The calls are those that `replay diff` names, and the rules must be those of the live workers: change the settings,
    start the workers again, look at diff, then publish. A correction counts over the live result of the same rows; at a
    portal it is a later version, as its on_revision says, and a call that is in no CRM comes into none. Given again, it
    publishes nothing.

    Exit status 0: what differed is published, or nothing did; 1: some calls could not be judged, or their results are
    still to come from the worker; 2: it cannot be done.

    Examples:

        cel2crm replay publish --since 2026-11-22

        cel2crm replay publish --dead-letters --yes
    """
    settings = load_settings(settings_file)
    quiet_kafka_client()
    with fewer_collections():
        found, correction = asyncio.run(_publish(settings, options, operator_name(by), yes=yes))
    told: dict[str, Any] = {
        "published": len(found) if correction else 0,
        "correction": correction,
        "kinds": {kind.value: count for kind, count in found.kinds.items()},
        "still_to_come": found.not_taken,
        "not_judged": len(found.not_judged),
    }
    if as_json:
        say_json(told)
    else:
        _say(found, correction)
    if found.not_judged or found.not_taken:
        raise typer.Exit(INCOMPLETE)


async def _publish(
    settings: Settings, options: SelectionOptions, by: str, *, yes: bool
) -> tuple[Corrections, int | None]:
    options.check(settings)
    async with opening.open_replay(settings) as (connection, source):
        selection = await options.selection(connection)
        with progress_shown() as report:
            replay = await opening.replay_of(connection, source, selection, settings, report=report)
            remark_expired(replay.ranges)
            live = await _live_workers(connection, replay)
            taken = await taken_offsets(settings)
            await opening.with_results(replay)
            async with corrections_of(replay, taken) as found:
                opening.refuse_absent(selection, replay.counts.judged + replay.counts.not_judged)
                if not len(found):
                    return found, None
                _ask(found, replay, settings, live=live, yes=yes)
                log = control_log(connection)
                name = f"publish-{datetime.now(UTC):%Y%m%d-%H%M%S}"
                control = control_of(name, replay, settings, by, (await log.all()).values(), publishes=True)
                await _begin(control, log)
                await _live_workers(connection, replay)  # a person may have taken an hour to answer
                await publish(connection, found, control.correction)
                await log.change(name, lambda _: msgspec.structs.replace(control, state=ReplayState.DONE))
                return found, control.correction


def _ask(found: Corrections, replay: Replay, settings: Settings, *, live: bool, yes: bool) -> None:
    count = len(found)
    remark(f"{count:,} calls have another outcome, by rules {opening.rules_hash_of(replay)}")
    for portal in settings.portals:
        if portal.on_revision != "keep":
            add_remark(f"portal {portal.name} hears of those that it has (on_revision: {portal.on_revision})")
    if not live:
        add_remark("no aggregate worker runs: one with other rules would undo it with a late row")
    confirm(f"Publish {count:,} corrections?", count if live else ASK_FROM, yes=yes)


async def _begin(control: Control, log: ControlLog) -> None:
    def decide(found: Control | None) -> Control:
        if found is not None:
            raise UserError("corrections are being published at this moment", "Wait until that is done.")
        return control

    await log.change(control.name, decide)


async def _live_workers(connection: Connection, replay: Replay) -> bool:
    """Whether a worker runs. Raises UserError where one judges by other rules."""
    if not await live_members(connection.settings):
        return False
    partitions = len(await replay.source.ends())
    refuse_other_rules(opening.rules_hash_of(replay), await rules_in_force(connection), partitions)
    return True


async def live_members(settings: Settings) -> int:
    """Members of the aggregate workers' group. Raises UserError: no broker."""
    async with KafkaAdmin(settings.kafka) as admin:
        return (await admin.group(f"{settings.kafka.topic_prefix}.aggregate")).members


async def taken_offsets(settings: Settings) -> dict[int, int]:
    """How far the aggregate workers have come, by partition. Raises UserError: no broker."""
    return dict(await taken_by_worker(settings)())


def control_log(connection: Connection) -> ControlLog:
    """The topic of control records."""
    return KafkaControlLog(connection)


def _say(found: Corrections, correction: int | None) -> None:
    if correction:
        say(f"published: {len(found):,} corrections (correction {correction})")
    else:
        say("published: nothing, for no call has another outcome")
    if found.not_taken:
        say(f"{found.not_taken:,} calls are left out: the worker has still to take rows of them")
    for each in found.not_judged[:_MOST_NAMED]:
        say(f"not judged: {each.call_id}: {each.words}")
    if len(found.not_judged) > _MOST_NAMED:
        say(f".. and {len(found.not_judged) - _MOST_NAMED:,} more: cel2crm replay diff lists them")
