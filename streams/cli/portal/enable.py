"""`cel2crm portal enable`: ask a portal again that wanted no more calls."""

import asyncio
from typing import Annotated

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption
from streams.cli.output import say
from streams.cli.portal.unmatched import portal_named
from streams.operations import connection as operations
from streams.operations import portal_states
from streams.settings import PortalSettings, Settings, load_settings


def enable(
    name: Annotated[str, typer.Argument(help="The portal, by its name in the settings.")],
    settings_file: SettingsOption = None,
) -> None:
    """Ask a portal again that answered 410: it wanted no more calls. They were kept, and go out now.

    Not needed where its address or secret changes: that enables it by itself. Either way the worker looks at its start.

    Example:

        cel2crm portal enable ours && systemctl restart cel2crm-webhook
    """
    settings = load_settings(settings_file)
    portal = portal_named(settings, name)
    quiet_kafka_client()
    why = asyncio.run(_enabled(settings, portal))
    if why is None:
        say(f"{name} is not disabled")
    else:
        say(f"{name} is enabled (it was not: {why})\nRestart its worker: cel2crm worker {portal.crm}")


async def _enabled(settings: Settings, portal: PortalSettings) -> str | None:
    async with operations.connect(settings) as connection:
        return await portal_states.enable(connection, portal)
