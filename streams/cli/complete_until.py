"""`cel2crm results --complete-until`: how far the calls of each PBX are complete."""

import asyncio

import typer

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.output import say, say_json
from streams.cli.verdict_line import verdict_line
from streams.clock import utc_now_us
from streams.operations import connection as operations
from streams.operations.complete_until import PbxComplete, complete_of, read_complete_until
from streams.operations.status.view import complete_json, complete_words
from streams.settings import Settings

UNKNOWN = 1
"""Exit status: of some PBX it is not known."""


def tell_complete_until(settings: Settings, pbx: str | None, *, as_json: bool) -> None:
    """Tell of the PBXs of the settings, or of one of them. Raises UserError: no broker, or not known of one of them."""
    quiet_kafka_client()
    with verdict_line(settings):
        found = asyncio.run(_read(settings))
        names = [pbx] if pbx is not None else [settings.pbx.name, *(each.name for each in settings.other_pbxs)]
        told = [complete_of(found, name) for name in names]
        for each in told:
            if as_json:
                say_json(complete_json(each))
            else:
                say(f"{each.pbx}: {complete_words(each, utc_now_us())}")
        if any(each.until is None for each in told):
            raise typer.Exit(UNKNOWN)


async def _read(settings: Settings) -> list[PbxComplete]:
    async with operations.connect(settings) as connection:
        return await read_complete_until(connection)
