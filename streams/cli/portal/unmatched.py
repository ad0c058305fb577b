"""`cel2crm portal unmatched`: extensions without a person in the CRM, and the lines that give them one."""

import asyncio
from typing import Annotated

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import say_json, say_lines
from streams.clock import format_time
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations.unmatched_extensions import Unmatched, unmatched_of
from streams.settings import PortalSettings, Settings, load_settings


def unmatched(
    name: Annotated[str, typer.Argument(help="The portal, by its name in the settings.")],
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """List the extensions whose calls went to somebody else, because neither settings nor CRM name a person for them.

    With the lines to paste under the portal's `users`. Those that the settings name by now are left out, so that an
    empty list means: nothing to do. Calls are remembered as long as the delivery log remembers them.

    Examples:

        cel2crm portal unmatched main

        cel2crm portal unmatched main --json | jq -r .extension
    """
    settings = load_settings(settings_file)
    portal = portal_named(settings, name)
    quiet_kafka_client()
    found = asyncio.run(_found(settings, portal))
    if as_json:
        for one in found:
            say_json(_to_json(one, portal))
    else:
        say_lines(_lines(found, portal))


def portal_named(settings: Settings, name: str) -> PortalSettings:
    """The portal of that name in the settings. Raises UserError: there is none."""
    found = next((portal for portal in settings.portals if portal.name == name), None)
    if found is None:
        known = ", ".join(portal.name for portal in settings.portals)
        raise UserError(f"the settings have no portal {name}", f"Known: {known or 'none'}.")
    return found


async def _found(settings: Settings, portal: PortalSettings) -> list[Unmatched]:
    async with operations.connect(settings) as connection:
        return await unmatched_of(connection, portal)


def _to_json(one: Unmatched, portal: PortalSettings) -> dict[str, object]:
    who: dict[str, object] = {"extension": one.who}
    if one.user is not None:
        who = {"user": one.user, "extensions": _led_by(one, portal)}
    elif one.field is not None:
        who = {"field": one.field}
    elif one.no_lead is not None:
        who = {"no_lead": one.no_lead}
    return {"portal": portal.name, **who, "calls": one.calls, "last_call": format_time(one.last_call)}


def _led_by(one: Unmatched, portal: PortalSettings) -> list[str]:
    return [extension for extension, user in portal.users.items() if user == one.user]


def _lines(found: list[Unmatched], portal: PortalSettings) -> list[str]:
    refused = [one for one in found if one.field is not None]
    leads = [one for one in found if one.no_lead is not None]
    found = [one for one in found if one.field is None and one.no_lead is None]
    told = [
        f"{portal.kind.title} did not take {one.field} of us, so calls went without it ({_calls_of(one)}): see "
        f"`cel2crm portal check {portal.name}`."
        for one in refused
    ]
    told += [f"{portal.kind.title} made no lead of {_calls_of(one)}: {one.no_lead}" for one in leads]
    if not found:
        return [*told, f"{portal.name}: every extension that had calls has its person"]
    instead = f"default_user ({portal.default_user})" if portal.default_user else "whom the CRM chose"
    if any(line.user for line in portal.route):
        instead = f"the user of the route's line, else to {instead}"
    lines = [*told, f"Their calls went to {instead}. Under portals, name: {portal.name}, with your CRM's user ids:", ""]
    lines.append("    users:")
    extensions = [one for one in found if one.user is None]
    lines += [f'      "{one.who}": "USER_ID"   # {_calls_of(one)}' for one in extensions]
    for one in found:
        if one.user is None:
            continue
        why = f"the CRM knows no active user {one.user}; {_calls_of(one)}"
        lines += [f'      "{extension}": "USER_ID"   # {why}' for extension in _led_by(one, portal)]
        for number, line in enumerate(portal.route, 1):
            if line.user == one.user:
                lines.append(f'    # route, line {number}: user: "USER_ID"   # {why}')
        if one.user == portal.default_user:
            lines.append(f'    default_user: "USER_ID"   # {why}')
    if portal.users_by == "id" and "inner_phone" in portal.kind.users_by and extensions:
        lines += ["", "Or users_by: inner_phone, where the portal's users have these extensions as inner phones."]
    return lines


def _calls_of(one: Unmatched) -> str:
    return f"{one.calls} call{'s' * (one.calls != 1)}, the last {format_time(one.last_call)}"
