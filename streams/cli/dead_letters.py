"""`cel2crm dead-letters`: what could not be processed; seen, retried, dropped."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from streams.cli.connected import connected
from streams.cli.filter_options import FilterOptions
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.option_group import with_options
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, console_of, remark, say, say_json, say_lines
from streams.cli.prompts import ByOption, NoteOption, YesOption, confirm, operator_name, progress_bar
from streams.cli.verdict_line import verdict_line
from streams.clock import MICROS_PER_SECOND, format_span
from streams.delivery.record import Action
from streams.operations import connection as operations
from streams.operations.connection import Connection
from streams.operations.dead_letter_commands import CarriedOut, Operator, carry_out, seconds_at_limit
from streams.operations.dead_letter_topic import decoded, letters_of
from streams.operations.dead_letter_view import group_to_json, letter_lines, letter_to_json, table_of
from streams.operations.dead_letters import Filter, Group, Letter, by_call, grouped
from streams.operations.masking import masked, masked_text
from streams.operations.recovery_plan import RecoveryPlan, plan_recovery
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="See, retry and drop what could not be processed. Nothing is ever deleted: what is done is recorded.",
    no_args_is_help=True,
)

AllOption = Annotated[bool, typer.Option("--all", help="Also those about which something was done already.")]
TargetArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CALL|PARTITION/OFFSET]...", help="Only these, as `list` shows them.", show_default=False),
]

NOT_THERE = 1
"""Exit status of `show`: there is no such dead letter."""


@app.command("list")
@with_options(FilterOptions)
def list_letters(
    options: FilterOptions,
    calls: Annotated[bool, typer.Option("--calls", help="Each call once, with the command that recovers it.")] = False,
    resolved: AllOption = False,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """List what is unresolved: by component, reason and portal in numbers, or call by call.

    Rows of calls that were forgotten, or that began before capture did, are recovered by a backfill of the whole call;
    deliveries that were refused or given up by a retry, once what was wrong is mended.

    Examples:

        cel2crm dead-letters list

        cel2crm dead-letters list --component aggregate --calls

        cel2crm dead-letters list --crm kommo --since 2026-11-24 --json | jq .letters
    """
    settings = load_settings(settings_file)
    wanted = options.to_filter(settings, resolved=resolved)
    quiet_kafka_client()
    with verdict_line(settings, told="dead letters"):
        _print_groups(
            asyncio.run(_groups(settings, wanted, calls=calls)),
            settings,
            calls=calls,
            resolved=resolved,
            as_json=as_json,
        )


def _print_groups(groups: list[Group], settings: Settings, *, calls: bool, resolved: bool, as_json: bool) -> None:
    numbers = settings.logging.mask_numbers
    if as_json:
        for group in groups:
            say_json(group_to_json(group, calls=calls, numbers=numbers))
    elif not groups:
        say("no dead letters" if resolved else "no unresolved dead letters")
    else:
        console_of(180).print(table_of(groups, calls=calls))
        if calls:
            for line in dict.fromkeys(group.command for group in groups):
                say(f"  {line}")
        else:
            for group in groups:
                explanation = masked_text(group.explanation, numbers=numbers)
                say(f"  {group.component} {group.reason}, the last: {explanation}\n    {group.command}")


@app.command()
def show(
    target: Annotated[str, typer.Argument(metavar="CALL|PARTITION/OFFSET", help="As `list` shows it.")],
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Show everything of a dead letter, or of all of a call: why, where it came from, its bytes decoded, what was done.

    Examples:

        cel2crm dead-letters show 1795389780.12

        cel2crm dead-letters show 3/1207 --json
    """
    settings = load_settings(settings_file)
    wanted = FilterOptions().to_filter(settings, [target], resolved=True)
    quiet_kafka_client()
    with verdict_line(settings, told="dead letters"):
        found = asyncio.run(_found(settings, wanted))
        if not found:
            remark(f"there is no dead letter {target}")
            raise typer.Exit(NOT_THERE)
        numbers = settings.logging.mask_numbers
        for letter, fields in found:
            if as_json:
                members = {**letter_to_json(letter), **{name: masked(value, numbers=numbers) for name, value in fields}}
                say_json(members)
            else:
                say_lines(letter_lines(letter, fields, numbers=numbers))


@app.command()
@with_options(FilterOptions)
def retry(
    options: FilterOptions,
    targets: TargetArgument = None,
    resolved: AllOption = False,
    yes: YesOption = False,
    by: ByOption = None,
    note: NoteOption = "",
    settings_file: SettingsOption = None,
) -> None:
    """Try again, once what was wrong is mended: deliveries by a command to the worker that owns the call.

    Records that could not be read go back to their topic, untouched. Rows that came too late need a backfill of the
    whole call, which `list --calls` names. Says first how many there are, and how long a portal takes at its limit.

    Examples:

        cel2crm dead-letters retry --crm bitrix24 --reason refused

        cel2crm dead-letters retry 1795389780.12 --note "user 12 exists again"

        cel2crm dead-letters retry --component aggregate --reason unreadable_row --yes
    """
    settings = load_settings(settings_file)
    wanted = options.to_filter(settings, targets, resolved=resolved)
    quiet_kafka_client()
    with connected(settings) as (connection, runner):
        plan = runner.run(plan_recovery(connection, wanted, Action.RETRY))
        for line in _plan_lines(plan, settings):
            add_remark(line)
        if not plan.steps:
            say("nothing to retry")
            return
        confirm(f"Retry {plan.letters:,} dead letters?", len(plan.steps), yes=yes)
        carried = runner.run(_carry_out(connection, plan, Operator(operator_name(by), note)))
    say(f"{carried.resolved} dead letters retried; what comes of them: cel2crm deliveries, cel2crm dead-letters list")
    _report_overtaken(carried)


@app.command()
@with_options(FilterOptions)
def drop(
    options: FilterOptions,
    targets: TargetArgument = None,
    yes: YesOption = False,
    by: ByOption = None,
    note: NoteOption = "",
    settings_file: SettingsOption = None,
) -> None:
    """Record that nothing more is wanted of them: who, when and why. The letters stay, and `list --all` shows them.

    Examples:

        cel2crm dead-letters drop --crm kommo --until 2026-11-01 --note "entered by hand"

        cel2crm dead-letters drop 3/1207
    """
    settings = load_settings(settings_file)
    wanted = options.to_filter(settings, targets)
    quiet_kafka_client()
    with connected(settings) as (connection, runner):
        plan = runner.run(plan_recovery(connection, wanted, Action.DROP))
        if not plan.steps:
            say("nothing to drop")
            return
        for line in _drop_lines(plan):
            add_remark(line)
        confirm(f"Drop {plan.letters:,} dead letters?", plan.letters, yes=yes)
        carried = runner.run(_carry_out(connection, plan, Operator(operator_name(by), note)))
    say(f"{carried.resolved} dead letters dropped")
    _report_overtaken(carried)


async def _groups(settings: Settings, wanted: Filter, *, calls: bool) -> list[Group]:
    async with operations.connect(settings) as connection:
        letters = [letter async for letter, _ in letters_of(connection, wanted)]
    return by_call(letters) if calls else grouped(letters)


async def _found(settings: Settings, wanted: Filter) -> list[tuple[Letter, list[tuple[str, Any]]]]:
    async with operations.connect(settings) as connection:
        return [(letter, list(decoded(fields, connection))) async for letter, fields in letters_of(connection, wanted)]


async def _carry_out(connection: Connection, plan: RecoveryPlan, operator: Operator) -> CarriedOut:
    with progress_bar("dead letters", plan.letters) as progress:
        return await carry_out(connection, plan, operator, progress)


def _report_overtaken(carried: CarriedOut) -> None:
    if carried.overtaken:
        add_remark(f"{carried.overtaken:,} were left alone: somebody else dealt with them meanwhile")


def _plan_lines(plan: RecoveryPlan, settings: Settings) -> Iterator[str]:
    """The steps of a retry in numbers, and what it leaves alone."""
    for (crm, portal), calls in sorted(plan.orders.items(), key=str):
        known = next((each for each in settings.portals if each.crm == crm and each.name == portal), None)
        span = format_span(seconds_at_limit(settings, crm, portal, calls) * MICROS_PER_SECOND)
        yield f"{calls:,} deliveries to {crm} (portal {portal or '?'}): about {span} at the portal's limit"
        if known is not None and known.shadow:
            yield f"  portal {portal} is a shadow: they go out when it no longer is one"
    if plan.returned:
        yield f"{plan.returned:,} records back to their topics"
    if plan.backfills:
        yield f"{len(plan.backfills):,} calls need a backfill: cel2crm dead-letters list --component aggregate --calls"
    if plan.hopeless:
        yield f"{plan.hopeless:,} that nothing recovers: cel2crm dead-letters drop"
    yield from _beyond(plan)


def _drop_lines(plan: RecoveryPlan) -> Iterator[str]:
    """The steps of a drop in numbers."""
    for (crm, portal), calls in sorted(plan.orders.items(), key=str):
        yield f"{calls:,} deliveries to {crm} (portal {portal or '?'}) will not be made"
    yield from _beyond(plan)


def _beyond(plan: RecoveryPlan) -> Iterator[str]:
    if plan.beyond:
        yield f"{plan.beyond:,} more are left out, they are too much at once: give the command again afterwards"
