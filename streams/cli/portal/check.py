"""`cel2crm portal check`: whether a portal will take calls, and what a person must mend; leaves no trace there."""

import asyncio
from typing import Annotated

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import say_json, say_lines
from streams.cli.portal.tokens import kept_tokens
from streams.cli.portal.unmatched import portal_named
from streams.clock import boot_seconds, format_time
from streams.credentials.keeper import command
from streams.credentials.sealing import Unreadable
from streams.credentials.store import CredentialStore, key_of
from streams.crm.shared.check import CheckRequest, Finding, Level, by_urgency, check_portal
from streams.crm.shared.client import unpaced
from streams.operations import token_store
from streams.settings import PortalSettings, Settings, load_settings

LIMIT_SECONDS = 120.0
"""For all requests of a check together."""

NEEDS_A_PERSON = 1
NOT_ASKED = 2
"""Exit statuses."""

LABELS = {Level.GOOD: "good", Level.NOTE: "note", Level.FAULT: "MEND", Level.AWAY: "away"}


def check(
    name: Annotated[str, typer.Argument(help="The portal, by its name in the settings.")],
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Look whether a portal will take calls: authorisation, scopes, rights of its owner, users, limits.

    Nothing is sent that has an effect in the CRM; an OAuth access token that is over is renewed, as the worker does.
    Each finding is a sentence, with what to click where a person must act. Exit status 0: calls can come; 1: a person
    must mend something; 2: the portal, or Kafka for its tokens, could not be asked.

    Examples:

        cel2crm portal check main

        cel2crm portal check main --json | jq -r 'select(.level == "fault") | .what'
    """
    settings = load_settings(settings_file)
    portal = portal_named(settings, name)
    quiet_kafka_client()
    found = asyncio.run(_found(settings, portal))
    if as_json:
        for one in found:
            say_json(_to_json(one, portal))
    else:
        say_lines(_lines(found))
    levels = {one.level for one in found}
    if Level.FAULT in levels:
        raise typer.Exit(NEEDS_A_PERSON)
    if Level.AWAY in levels:
        raise typer.Exit(NOT_ASKED)


async def _found(settings: Settings, portal: PortalSettings) -> list[Finding]:
    if portal.oauth is None:
        return await check_portal(CheckRequest(portal, None, unpaced, boot_seconds() + LIMIT_SECONDS))
    async with token_store.open_store(settings) as store, kept_tokens(portal, store) as tokens:
        found = await check_portal(CheckRequest(portal, tokens, unpaced, boot_seconds() + LIMIT_SECONDS))
        return by_urgency([*found, *_refresh_token(portal, store)])


def _refresh_token(portal: PortalSettings, store: CredentialStore) -> list[Finding]:
    try:
        known = store.get(key_of(portal))
    except Unreadable:
        return []  # the check says so
    if known is None:
        return []
    if known.refused is not None:
        words = f"the refresh token is not taken any more ({known.refused})"
        return [Finding(Level.FAULT, "authorisation", words, f"Run `{command(portal.name)}`.")]
    words = f"the refresh token is good until {format_time(known.pair.refresh_until)}, and renewed before"
    return [Finding(Level.GOOD, "authorisation", words)]


def _to_json(one: Finding, portal: PortalSettings) -> dict[str, object]:
    return {
        "portal": portal.name,
        "crm": portal.crm,
        "level": one.level.value,
        "about": one.about,
        "what": one.words,
        "remedy": one.remedy or None,
    }


def _lines(found: list[Finding]) -> list[str]:
    width = max(len(one.about) for one in found)
    lines = []
    for one in found:
        lines.append(f"{LABELS[one.level]}  {one.about:<{width}}  {one.words}")
        if one.remedy:
            lines.append(f"      {'':<{width}}  {one.remedy}")
    return lines
