"""`cel2crm portal status`: how portals are let in, for how long, and which calls wait for them."""

import asyncio
from typing import Annotated

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption, warn_of_plugins
from streams.cli.output import Table, console_of, say, say_json
from streams.cli.verdict_line import verdict_line
from streams.clock import format_time
from streams.credentials.standing import Tokens
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations.deliveries import overview_of
from streams.operations.portal_status import PortalStatus, authorisations, status_of
from streams.settings import PortalSettings, Settings, load_settings

NEEDS_A_PERSON = 1
"""Exit status when a portal does."""

TOKEN_LABELS = {
    Tokens.FIXED: "in the settings",
    Tokens.GOOD: "good",
    Tokens.EXPIRED: "good (the next call renews the access token)",
    Tokens.RENEWING: "being renewed",
    Tokens.NONE: "none",
    Tokens.REFUSED: "good no more",
    Tokens.UNREADABLE: "encrypted with another key",
    Tokens.UNKNOWN: "not known",
}


def status(
    name: Annotated[str | None, typer.Argument(help="Only this portal.", show_default=False)] = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Show how each portal is let in, until when its tokens are good, how many calls wait, and whether it is paused.

    No secret is shown. Exit status 0: all is well; 1: a portal needs a person, and it says what to do.

    Examples:

        cel2crm portal status

        cel2crm portal status main --json | jq -r .tokens.state
    """
    settings = load_settings(settings_file)
    wanted = [portal for portal in settings.portals if name in (None, portal.name)]
    if not wanted:
        known = ", ".join(portal.name for portal in settings.portals)
        raise UserError(
            f"the settings have no portal {name}" if name else "the settings have no portals",
            f"Known: {known or 'none'}.",
        )
    quiet_kafka_client()
    warn_of_plugins()
    with verdict_line(settings):
        found = asyncio.run(_found(settings, wanted))
        if as_json:
            for one in found:
                say_json(_to_json(one))
        else:
            _print_table(found)
        if any(one.needs_a_person for one in found):
            raise typer.Exit(NEEDS_A_PERSON)


async def _found(settings: Settings, portals: list[PortalSettings]) -> list[PortalStatus]:
    let_in = await authorisations(settings, portals)
    crms = dict.fromkeys(portal.crm for portal in portals)
    async with operations.connect(settings) as connection:
        overviews = {crm: await overview_of(connection, crm) for crm in crms}
    return [status_of(portal, let_in[portal.name], overviews[portal.crm]) for portal in portals]


def _to_json(one: PortalStatus) -> dict[str, object]:
    authorisation = one.authorisation
    return {
        "portal": one.portal.name,
        "crm": one.portal.crm,
        "authorisation": authorisation.authorisation,
        "tokens": {
            "state": authorisation.tokens.value,
            "access_until": format_time(authorisation.access_until) if authorisation.access_until else None,
            "refresh_until": format_time(authorisation.refresh_until) if authorisation.refresh_until else None,
            "why": authorisation.why,
        },
        "waiting": one.waiting,
        "paused": one.paused,
        "needs_a_person": one.needs_a_person,
    }


def _print_table(found: list[PortalStatus]) -> None:
    table = Table(header_style="bold")
    for name in ("portal", "CRM", "let in by", "tokens", "access until", "refresh until", "calls waiting"):
        table.add_column(name, justify="right" if name == "calls waiting" else "left")
    for one in found:
        authorisation = one.authorisation
        table.add_row(
            one.portal.name,
            one.portal.crm,
            authorisation.authorisation,
            TOKEN_LABELS[authorisation.tokens],
            format_time(authorisation.access_until),
            format_time(authorisation.refresh_until),
            f"{one.waiting:,}",
        )
    console_of(140).print(table)
    for one in found:
        if one.authorisation.why:
            say(f"{one.portal.name}: {one.authorisation.why}")
        if one.paused is not None:
            say(f"{one.portal.name} is paused, its calls are kept: {one.paused}")
