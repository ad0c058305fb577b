"""`cel2crm portal authorise`: let the product in by OAuth."""

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption
from streams.cli.output import add_remark, say
from streams.clock import boot_seconds, format_time, utc_now_us
from streams.credentials.authorisation import code_of, pair_of, server_of
from streams.credentials.record import granted
from streams.credentials.sealing import Sealer
from streams.credentials.store import CredentialStore, key_of
from streams.crm.shared.adapter import token_vendor
from streams.crm.shared.token_vendor import TokenVendor
from streams.crm.shared.tokens import Pair
from streams.errors import SettingsError, UserError
from streams.http.request import session
from streams.operations import token_store
from streams.settings import PortalSettings, Settings, load_settings, secret

SECONDS = 30.0
"""Limit of each request."""


def authorise(
    name: Annotated[str, typer.Argument(help="The portal, by its name in the settings.")],
    code_file: Annotated[
        Path | None, typer.Option("--code-file", help="A file that holds the code; - is standard input.")
    ] = None,
    settings_file: SettingsOption = None,
) -> None:
    """Authorise a portal by OAuth: says where to get a code, and makes tokens of it, stored encrypted on Kafka.

    The code, or the whole address that holds it, is asked for without being shown, or read from a file or standard
    input; never from the command line. Running workers take the new tokens at once, and a portal that was paused goes
    on. Until everything is proved to work, what was stored before stays.

    Examples:

        cel2crm portal authorise main

        pass show kommo-code | cel2crm portal authorise main --code-file -
    """
    settings = load_settings(settings_file)
    portal = oauth_portal(settings, name)
    vendor = token_vendor(portal)
    _require_secrets(vendor, settings)
    quiet_kafka_client()
    asyncio.run(_authorise(settings, vendor, code_file))


def oauth_portal(settings: Settings, name: str) -> PortalSettings:
    """The portal of this name that is let in by OAuth. Raises UserError."""
    found = [portal for portal in settings.portals if portal.name == name]
    if not found:
        known = ", ".join(portal.name for portal in settings.portals)
        raise UserError(f"the settings have no portal {name}", f"Known: {known or 'none'}.")
    with_oauth = [portal for portal in found if portal.oauth is not None]
    if not with_oauth:
        raise UserError(
            f"portal {name} is not let in by OAuth, so there is nothing to authorise",
            f"Its webhook or token stands in the settings; for OAuth set portals.{name}.oauth.client_id and so on.",
        )
    return with_oauth[0]


def _require_secrets(vendor: TokenVendor, settings: Settings) -> None:
    """Raise SettingsError for what is missing, before a person fetches a code that is good for seconds."""
    where, oauth = f"portals.{vendor.portal.name}.oauth", vendor.oauth
    secret(oauth.client_secret, oauth.client_secret_file, f"{where}.client_secret")
    if vendor.redirect_uri_needed and not oauth.redirect_uri:
        raise SettingsError(
            f"{where}.redirect_uri is not set",
            f"Set it as it stands in the integration: {vendor.portal.kind.title} wants it.",
        )
    Sealer.of(settings.credentials)


async def _authorise(settings: Settings, vendor: TokenVendor, code_file: Path | None) -> None:
    state = secrets.token_urlsafe(12)
    async with token_store.open_store(settings) as store, session() as http:
        given = _given(code_file, vendor.instructions(state))
        code, server = code_of(given, vendor, state), server_of(given, vendor)
        pair = pair_of(await vendor.redeem(http, code, boot_seconds() + SECONDS, server), vendor.portal)
        who = await vendor.check(http, pair, boot_seconds() + SECONDS)
        await _store(store, vendor.portal, pair)
    say(
        f"portal {vendor.portal.name} is authorised: {who}\n"
        f"  access token until {format_time(pair.access_until)}, renewed by the workers;\n"
        f"  refresh token until {format_time(pair.refresh_until)}, if none of them renews it before"
    )


async def _store(store: CredentialStore, portal: PortalSettings, pair: Pair) -> None:
    key = key_of(portal)
    await store.change(key, lambda before: granted(before, key, pair, utc_now_us()))


def _given(code_file: Path | None, lines: list[str]) -> str:
    if code_file is not None and str(code_file) != "-":
        try:
            return code_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise UserError(f"--code-file: cannot read {code_file}: {why}") from None
    if code_file is not None or not sys.stdin.isatty():
        return sys.stdin.readline()
    for line in lines:
        add_remark(line)
    return str(typer.prompt("Code or address (not shown)", hide_input=True, err=True))
