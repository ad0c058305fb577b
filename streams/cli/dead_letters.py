"""`cel2crm dead-letters`: what could not be processed; seen, retried, dropped."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer

from streams.cli.deliveries import CrmOption, call_ids
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, console_of, remark, say, say_json, say_lines
from streams.cli.prompts import ByOption, NoteOption, YesOption, counting, go_on, name_of
from streams.clock import format_span
from streams.errors import UserError
from streams.operations import connection as operate
from streams.operations import dead_letter_commands as acting
from streams.operations.dead_letter_commands import Operator, RecoveryPlan
from streams.operations.dead_letter_view import group_fields, letter_fields, story_of, table_of
from streams.operations.dead_letters import (
    Filter,
    Group,
    Letter,
    by_call,
    decoded,
    grouped,
    letters_of,
    moment,
    places_of,
)
from streams.operations.masking import masked, masked_text
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="See, retry and drop what could not be processed. Nothing is ever deleted: what is done is recorded.",
    no_args_is_help=True,
)

PortalOption = Annotated[str | None, typer.Option("--portal", help="Only this portal of the settings.")]
ComponentOption = Annotated[str | None, typer.Option("--component", help="Only from aggregate, bitrix24, kommo ..")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only for this reason, as `list` names it.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="Only from then on: 2026-11-25, or with a time.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Only before then.")]
CallOption = Annotated[str | None, typer.Option("--call", help="Only of this call: linkedid, or PBX/linkedid.")]
AllOption = Annotated[bool, typer.Option("--all", help="Also those about which something was done already.")]
TargetArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CALL|PARTITION/OFFSET]...", help="Only these, as `list` shows them.", show_default=False),
]

NOT_THERE = 1
"""Exit status of `show`: there is no such dead letter."""


@app.command("list")
def list_letters(
    crm: CrmOption = None,
    portal: PortalOption = None,
    component: ComponentOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    call: CallOption = None,
    calls: Annotated[bool, typer.Option("--calls", help="Each call once, with the command that heals it.")] = False,
    resolved: AllOption = False,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """List what is unresolved: by component, reason and portal in numbers, or call by call.

    Rows of calls that were forgotten, or that began before capture did, are healed by a backfill of the whole call;
    deliveries that were refused or given up by a retry, once what was wrong is mended.

    Examples:

        cel2crm dead-letters list

        cel2crm dead-letters list --component aggregate --calls

        cel2crm dead-letters list --crm kommo --since 2026-11-24 --json | jq .letters
    """
    settings = load_settings(settings_file)
    wanted = _filter(settings, crm, portal, component, reason, since, until, call, None, resolved=resolved)
    quiet_kafka_client()
    groups = asyncio.run(_groups(settings, wanted, calls=calls))
    numbers = settings.logging.mask_numbers
    if as_json:
        for group in groups:
            say_json(group_fields(group, calls=calls, numbers=numbers))
    elif not groups:
        say("no dead letters" if resolved else "no unresolved dead letters")
    else:
        console_of(180).print(table_of(groups, calls=calls))
        if calls:
            for line in dict.fromkeys(group.remedy for group in groups):
                say(f"  {line}")
        else:
            for group in groups:
                told = masked_text(group.explanation, numbers=numbers)
                say(f"  {group.component} {group.reason}, the last: {told}\n    {group.remedy}")


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
    wanted = _filter(settings, None, None, None, None, None, None, None, [target], resolved=True)
    quiet_kafka_client()
    found = asyncio.run(_found(settings, wanted))
    if not found:
        remark(f"there is no dead letter {target}")
        raise typer.Exit(NOT_THERE)
    numbers = settings.logging.mask_numbers
    for letter, fields in found:
        if as_json:
            members = {**letter_fields(letter), **{name: masked(value, numbers=numbers) for name, value in fields}}
            say_json(members)
        else:
            say_lines(story_of(letter, fields, numbers=numbers))


@app.command()
def retry(
    targets: TargetArgument = None,
    crm: CrmOption = None,
    portal: PortalOption = None,
    component: ComponentOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    call: CallOption = None,
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
    wanted = _filter(settings, crm, portal, component, reason, since, until, call, targets, resolved=resolved)
    quiet_kafka_client()
    plan = asyncio.run(_planned(settings, wanted))
    for line in _plan_lines(plan, settings):
        add_remark(line)
    orders = sum(len(each) for each in plan.calls.values())
    if not orders and not plan.returned:
        say("nothing to retry")
        return
    go_on("Retry them?", orders + plan.returned, yes=yes)
    count = asyncio.run(_act(settings, wanted, Operator(name_of(by), note), acting.retry, plan.letters))
    say(f"{count} dead letters retried; what comes of them: cel2crm deliveries, cel2crm dead-letters list")


@app.command()
def drop(
    targets: TargetArgument = None,
    crm: CrmOption = None,
    portal: PortalOption = None,
    component: ComponentOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    call: CallOption = None,
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
    wanted = _filter(settings, crm, portal, component, reason, since, until, call, targets)
    quiet_kafka_client()
    plan = asyncio.run(_planned(settings, wanted))
    if not plan.letters:
        say("nothing to drop")
        return
    go_on(f"Drop {plan.letters:,} dead letters?", plan.letters, yes=yes)
    count = asyncio.run(_act(settings, wanted, Operator(name_of(by), note), acting.drop, plan.letters))
    say(f"{count} dead letters dropped")


def _filter(
    settings: Settings,
    crm: str | None,
    portal: str | None,
    component: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    call: str | None,
    targets: list[str] | None,
    *,
    resolved: bool = False,
) -> Filter:
    """Raises UserError."""
    if crm is not None and crm not in operate.CRMS:
        raise UserError(f"there is no CRM {crm}", f"Known: {', '.join(operate.CRMS)}.")
    wanted = Filter(crm, portal, component, reason, moment(since, "--since"), moment(until, "--until"))
    named = [*(targets or ()), *([call] if call else ())]
    places = frozenset(place for each in named for place in places_of(each))
    calls = frozenset(each for text in named if not places_of(text) for each in call_ids(text, settings))
    return replace(wanted, calls=calls, places=places, resolved=resolved)


async def _groups(settings: Settings, wanted: Filter, *, calls: bool) -> list[Group]:
    async with operate.connect(settings) as connection:
        letters = [letter async for letter, _ in letters_of(connection, wanted)]
    return by_call(letters) if calls else grouped(letters)


async def _found(settings: Settings, wanted: Filter) -> list[tuple[Letter, list[tuple[str, Any]]]]:
    async with operate.connect(settings) as connection:
        return [(letter, list(decoded(fields, connection))) async for letter, fields in letters_of(connection, wanted)]


async def _planned(settings: Settings, wanted: Filter) -> RecoveryPlan:
    async with operate.connect(settings) as connection:
        return await acting.planned(connection, wanted)


async def _act(settings: Settings, wanted: Filter, operator: Operator, action: Any, total: int) -> int:
    with counting("dead letters", total) as progress:
        async with operate.connect(settings) as connection:
            count: int = await action(connection, wanted, operator, progress)
            return count


def _plan_lines(plan: RecoveryPlan, settings: Settings) -> Iterator[str]:
    """What would be done, a line each."""
    for (crm, portal), calls in sorted(plan.calls.items(), key=str):
        known = next((each for each in settings.portals if each.crm == crm and each.name == portal), None)
        yield (
            f"{len(calls):,} deliveries to {crm} (portal {portal or '?'}): about "
            f"{format_span(acting.seconds_at_limit(settings, crm, portal, len(calls)) * 1_000_000)} "
            "at the portal's limit"
        )
        if known is not None and known.shadow:
            yield f"  portal {portal} is a shadow: they go out when it is none"
    if plan.returned:
        yield f"{plan.returned:,} records back to their topics"
    if plan.backfills:
        yield f"{len(plan.backfills):,} calls need a backfill: cel2crm dead-letters list --component aggregate --calls"
    if plan.nothing:
        yield f"{plan.nothing:,} that nothing heals: cel2crm dead-letters drop"
