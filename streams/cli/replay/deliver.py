"""`cel2crm replay deliver`: calls of a selection again to one portal."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer

from schemas import MalformedRecord
from streams.calls.result import CallResult
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.option_group import with_options
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import remark, say, say_json
from streams.cli.prompts import ByOption, NoteOption, YesOption, confirm, operator_name, progress_bar
from streams.cli.replay.bar import progress_shown
from streams.cli.replay.plan import remark_expired
from streams.cli.replay.selection_options import SelectionOptions
from streams.clock import MICROS_PER_SECOND, format_span
from streams.delivery.routing import portal_of, skip_reason_for
from streams.errors import UserError
from streams.kafka.topic_client import TopicRecord
from streams.operations import dead_letter_commands
from streams.operations.connection import Connection
from streams.operations.dead_letter_commands import Operator
from streams.operations.results import newest_results
from streams.replay import opening
from streams.replay.judge import Judged
from streams.settings import PortalSettings, Settings, load_settings
from streams.topics import CALL_RESULTS


@dataclass(slots=True)
class Targets:
    """The newest results of the calls that are to be ordered."""

    records: list[TopicRecord]
    without_result: int = 0
    skipped: int = 0
    """Calls of a kind that the portal does not get."""


@with_options(SelectionOptions)
def deliver_again(
    options: SelectionOptions,
    portal: Annotated[str, typer.Option("--portal", help="The portal of the settings that gets them.")],
    yes: YesOption = False,
    by: ByOption = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Order the calls of a selection again at one portal, as their newest results on call-results say.

    The worker that owns a call looks it up in the CRM first where it was delivered, or may have been, and sends it only
    if it is not there. What kind of call a portal gets stays as it is set; --trunk, --number and --result go by the
    newest result. It says how many they are and how long they take at the portal's limit, and asks.

    Exit status 0: ordered; 2: nothing was.

    Example:

        cel2crm replay deliver --portal sales --since '2026-11-22 08:00' --until '2026-11-22 12:00' --note "lost there"
    """
    settings = load_settings(settings_file)
    at = portal_named(settings, portal)
    quiet_kafka_client()
    operator = Operator(operator_name(by), note)
    targets = asyncio.run(_deliver(settings, at, options, operator, yes=yes))
    if as_json:
        told = {"ordered": len(targets.records), "without_result": targets.without_result, "skipped": targets.skipped}
        say_json(told)
        return
    say(f"ordered: {len(targets.records):,} calls at {at.name}; what comes of it: cel2crm deliveries")
    if targets.without_result or targets.skipped:
        say(f"left out: {targets.without_result:,} without a result, {targets.skipped:,} that {at.name} does not get")


def portal_named(settings: Settings, name: str) -> PortalSettings:
    """A portal of the settings. Raises UserError: unknown, or a shadow."""
    found = next((each for each in settings.portals if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in settings.portals) or "none"
        raise UserError(f"the settings know no portal {name!r}", f"Known: {known}.")
    if found.shadow:
        raise UserError(f"portal {name} is a shadow: nothing is sent to it", "Set shadow: false for it first.")
    return found


async def _deliver(
    settings: Settings, portal: PortalSettings, options: SelectionOptions, operator: Operator, *, yes: bool
) -> Targets:
    options.check(settings)
    async with opening.open_replay(settings) as (connection, source):
        selection = await options.selection(connection)
        names: list[str] = []
        with progress_shown() as report:
            replay = await opening.replay_of(connection, source, selection, settings, report=report)
            remark_expired(replay.ranges)
            for place in replay.ranges:
                async for each in replay.judged(place):
                    names.append(each.outcome.result.call_id if isinstance(each, Judged) else each.call_id)
        opening.refuse_absent(selection, len(names))
        targets = await _targets(connection, names, portal, options.check(settings).wants_outcome)
        count = len(targets.records)
        seconds = dead_letter_commands.seconds_at_limit(settings, portal.crm, portal.name, count)
        span = format_span(seconds * MICROS_PER_SECOND)
        remark(f"{count:,} calls at {portal.name}: about {span} at the portal's limit")
        confirm(f"Order {count:,} deliveries at {portal.name}?", count, yes=yes)
        ordered = [(portal.crm, record) for record in targets.records]
        with progress_bar("deliveries", count) as advance:
            await dead_letter_commands.deliver(connection, ordered, operator, advance)
    return targets


async def _targets(
    connection: Connection, names: list[str], portal: PortalSettings, wanted: Callable[[CallResult], bool]
) -> Targets:
    portals, found = connection.settings.portals_of(portal.crm), Targets([])
    newest = await newest_results(connection, names) if names else {}
    for name in names:
        own = portal_of(portals, name.partition("/")[0])
        if own is None or own.name != portal.name:
            found.skipped += 1
            continue
        record = newest.get(name)
        if record is None:
            found.without_result += 1
            continue
        try:
            result = CallResult.from_record(await connection.read(record, CALL_RESULTS.schema))
        except (MalformedRecord, msgspec.ValidationError):
            found.without_result += 1
            continue
        if not wanted(result):
            continue
        if skip_reason_for(result, portal) is not None:
            found.skipped += 1
        else:
            found.records.append(record)
    return found
