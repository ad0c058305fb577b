"""`cel2crm deliveries`: where deliveries stand, and the history of one call."""

import asyncio
from typing import Annotated

import typer

from streams.calls.call import call_id
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import Table, console_of, remark, say, say_json, say_lines
from streams.cli.row_sources import split_call_id
from streams.clock import format_span, utc_now_us
from streams.delivery.record import Delivery
from streams.errors import UserError
from streams.operations import connection as operate
from streams.operations.deliveries import Overview, crms_of, history_of, overview_of
from streams.operations.delivery_view import as_fields, story
from streams.operations.labels import STATES
from streams.settings import Settings, load_settings

CrmOption = Annotated[str | None, typer.Option("--crm", help="Only this CRM: bitrix24, kommo or webhook.")]

NOT_THERE = 1
"""Exit status: no CRM's log knows the call."""


def deliveries(
    call: Annotated[
        str | None, typer.Argument(metavar="[CALL]", help="A call: its linkedid, or PBX/linkedid.", show_default=False)
    ] = None,
    crm: CrmOption = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Show where deliveries stand: all of them in numbers, or one call's whole history at each CRM.

    The history tells every attempt: when, which step, what was sent and what was answered, the CRM's ids, and when it
    is tried again. Secrets are never shown; phone numbers are masked with `logging: {mask_numbers: true}`.

    Examples:

        cel2crm deliveries

        cel2crm deliveries 1795389780.12 --crm bitrix24

        cel2crm deliveries office/1795389780.12 --json | jq .state
    """
    settings = load_settings(settings_file)
    if crm is not None and crm not in operate.CRMS:
        raise UserError(f"there is no CRM {crm}", f"Known: {', '.join(operate.CRMS)}.")
    quiet_kafka_client()
    if call is None:
        (_tell_json if as_json else _tell)(asyncio.run(_overviews(settings, crm)))
        return
    found = asyncio.run(_histories(settings, call, crm))
    if not found:
        remark(
            f"no CRM's log knows call {call}\n"
            "  Its result may not be out yet, or no worker of a CRM has read it; cel2crm explain tells the call "
            "itself."
        )
        raise typer.Exit(NOT_THERE)
    numbers = settings.logging.mask_numbers
    for delivery in found:
        if as_json:
            say_json(as_fields(delivery, numbers=numbers))
        else:
            say_lines(story(delivery, utc_now_us(), numbers=numbers))


async def _histories(settings: Settings, call: str, crm: str | None) -> list[Delivery]:
    async with operate.connect(settings) as connection:
        return [
            delivery
            for wanted in call_ids(call, settings)
            for delivery in await history_of(connection, wanted, crms_of(settings, crm))
        ]


async def _overviews(settings: Settings, crm: str | None) -> list[Overview]:
    async with operate.connect(settings) as connection:
        return [await overview_of(connection, each) for each in crms_of(settings, crm)]


def call_ids(text: str, settings: Settings) -> list[str]:
    """The calls that a user may mean: a bare linkedid is one of each PBX."""
    pbx, linkedid = split_call_id(text, settings)
    names = [each.name for each in (settings.pbx, *settings.other_pbxs)]
    return [call_id(name, linkedid) for name in ([pbx] if pbx else names)]


def _tell(overviews: list[Overview]) -> None:
    now = utc_now_us()
    table = Table(header_style="bold")
    for name in ("CRM", "portal", "state", "deliveries"):
        table.add_column(name, justify="right" if name == "deliveries" else "left")
    for seen in overviews:
        for (portal, state), count in sorted(seen.counts.items()):
            table.add_row(seen.crm, portal, STATES[state], f"{count:,}")
    if not table.row_count:
        say("no deliveries yet")
        return
    console_of(120).print(table)
    for seen in overviews:
        for portal, (oldest, since) in sorted(seen.oldest.items()):
            say(f"{seen.crm} {portal}: {oldest} has been waiting longest, {format_span(now - since)}")
        for portal, why in sorted(seen.paused.items()):
            say(f"{seen.crm} {portal} is paused, a person must act: {why}")
        if seen.unreadable:
            say(f"{seen.crm}: {seen.unreadable} records of the log cannot be read")


def _tell_json(overviews: list[Overview]) -> None:
    for seen in overviews:
        for portal in sorted({portal for portal, _ in seen.counts}):
            oldest, since = seen.oldest.get(portal, (None, None))
            line = {
                "crm": seen.crm,
                "portal": portal,
                "deliveries": {
                    state.value: count for (its, state), count in sorted(seen.counts.items()) if its == portal
                },
                "oldest_waiting": oldest,
                "waiting_since": since,
                "paused": seen.paused.get(portal),
            }
            say_json(line)
