"""`cel2crm deliveries`: where deliveries stand, and the history of one call."""

import asyncio
from typing import Annotated

import typer

from streams.cli.filter_options import CrmOption
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption, warn_of_plugins
from streams.cli.output import Table, console_of, remark, say, say_json, say_lines
from streams.cli.verdict_line import verdict_line
from streams.clock import format_span, utc_now_us
from streams.delivery.record import Delivery
from streams.operations import connection as operations
from streams.operations.call_reference import call_ids
from streams.operations.connection import check_crm
from streams.operations.deliveries import Overview, crms_of, history_of, overview_of
from streams.operations.delivery_view import delivery_lines, delivery_to_json
from streams.operations.labels import STATES, follow_up_words
from streams.settings import Settings, load_settings

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
    check_crm(crm)
    warn_of_plugins()
    quiet_kafka_client()
    with verdict_line(settings):
        if call is None:
            (_print_json if as_json else _print_table)(asyncio.run(_overviews(settings, crm)))
        else:
            _print_histories(settings, call, asyncio.run(_histories(settings, call, crm)), as_json=as_json)


def _print_histories(settings: Settings, call: str, found: list[Delivery], *, as_json: bool) -> None:
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
            say_json(delivery_to_json(delivery, numbers=numbers))
        else:
            say_lines(delivery_lines(delivery, utc_now_us(), numbers=numbers))


async def _histories(settings: Settings, call: str, crm: str | None) -> list[Delivery]:
    async with operations.connect(settings) as connection:
        return [
            delivery
            for wanted in call_ids(call, settings)
            for delivery in await history_of(connection, wanted, crms_of(settings, crm))
        ]


async def _overviews(settings: Settings, crm: str | None) -> list[Overview]:
    async with operations.connect(settings) as connection:
        return [await overview_of(connection, each) for each in crms_of(settings, crm)]


def _print_table(overviews: list[Overview]) -> None:
    now = utc_now_us()
    table = Table(header_style="bold")
    for name in ("CRM", "portal", "state", "deliveries"):
        table.add_column(name, justify="right" if name == "deliveries" else "left")
    for overview in overviews:
        for (portal, state), count in sorted(overview.counts.items()):
            table.add_row(overview.crm, portal, STATES[state], f"{count:,}")
        for (portal, kind, state), count in sorted(overview.follow_ups.items()):
            table.add_row(overview.crm, portal, f"{kind}: {follow_up_words(kind, state)}", f"{count:,}")
    if not table.row_count:
        say("no deliveries yet")
        return
    console_of(120).print(table)
    for overview in overviews:
        for portal, (oldest, since) in sorted(overview.oldest.items()):
            say(f"{overview.crm} {portal}: {oldest} has been waiting longest, {format_span(now - since)}")
        for portal, why in sorted(overview.paused.items()):
            say(f"{overview.crm} {portal} is paused, a person must act: {why}")
        if overview.unreadable:
            say(f"{overview.crm}: {overview.unreadable} records of the log cannot be read")


def _print_json(overviews: list[Overview]) -> None:
    for overview in overviews:
        for portal in sorted({portal for portal, _ in overview.counts}):
            oldest, since = overview.oldest.get(portal, (None, None))
            line = {
                "crm": overview.crm,
                "portal": portal,
                "deliveries": {
                    state.value: count for (its, state), count in sorted(overview.counts.items()) if its == portal
                },
                "follow_ups": {
                    f"{kind}:{state.value}": count
                    for (its, kind, state), count in sorted(overview.follow_ups.items())
                    if its == portal
                },
                "oldest_waiting": oldest,
                "waiting_since": since,
                "paused": overview.paused.get(portal),
            }
            say_json(line)
