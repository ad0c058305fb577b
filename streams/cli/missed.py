"""`cel2crm missed`: who must be called back."""

import asyncio
from typing import Any

from streams.analysis.result_filter import checked_pbx
from streams.analysis.truth import Truths, read_truths
from streams.analysis.waiting_clients import WaitingClient, is_of_client, waiting_clients
from streams.calls.result import CallResult
from streams.cli.filter_options import SinceOption
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import Table, remark, say, say_json, say_table
from streams.cli.results import PbxOption
from streams.cli.verdict_line import verdict_line
from streams.clock import MICROS_PER_DAY, MICROS_PER_SECOND, UtcMicros, format_span, iso_utc, local_time, utc_now_us
from streams.operations import connection as operations
from streams.operations.dead_letters import moment
from streams.operations.masking import masked, masked_text
from streams.settings import Settings, load_settings

_DAYS = 7


def missed(
    since: SinceOption = None,
    pbx: PbxOption = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Show who must be called back: clients whose calls nobody answered, and with whom nobody talked since.

    One line a client, who has waited longest first. A call either way that a person answered settles all that the
    client missed before, at whichever PBX; a try that the client did not answer is counted, and settles nothing. A
    call that is still going on is not known yet. Without --since, missed calls of the last 7 days. Only reads. Phone
    numbers are masked with `logging: {mask_numbers: true}`.

    Examples:

        cel2crm missed --since 2026-11-25

        cel2crm missed --pbx office --json | jq -r .client
    """
    settings = load_settings(settings_file)
    now = utc_now_us()
    begin = moment(since, "--since")
    begin = now - _DAYS * MICROS_PER_DAY if begin is None else begin
    named = checked_pbx(pbx, settings)
    truths = Truths(lambda _, call: call if is_of_client(call) and call.started_at >= begin else None)
    quiet_kafka_client()
    with verdict_line(settings):
        asyncio.run(_read(settings, truths, begin))
        waiting = [
            each
            for each in waiting_clients(truths.all())
            if named is None or any(call.pbx == named for call in each.missed)
        ]
        if as_json:
            for each in waiting:
                say_json(masked(_to_json(each, now), numbers=settings.logging.mask_numbers))
        else:
            _say_table(waiting, now, settings)
        if truths.unreadable:
            remark(f"{truths.unreadable} records of the topic cannot be read: who waits may be missing")


async def _read(settings: Settings, truths: Truths[CallResult], since: UtcMicros) -> None:
    async with operations.connect(settings) as connection:
        await read_truths(connection, truths, since)


def _say_table(waiting: list[WaitingClient], now: UtcMicros, settings: Settings) -> None:
    if not waiting:
        say("nobody waits for a call back")
        return
    table = Table(header_style="bold")
    for name in ("client", "waits", "first missed", "last missed", "called", "queue", "rang"):
        table.add_column(name, overflow="fold")
    for name in ("missed", "tries"):
        table.add_column(name, justify="right")
    numbers = settings.logging.mask_numbers
    for each in waiting:
        first, last = each.missed[0], each.last
        table.add_row(
            masked_text(each.client, numbers=numbers),
            format_span(now - each.since),
            local_time(first.started_at, first.utc_offset_seconds),
            local_time(last.started_at, last.utc_offset_seconds),
            masked_text(last.did or last.called or "-", numbers=numbers),
            last.queue or "-",
            last.rang_last or "-",
            str(len(each.missed)),
            str(len(each.tries)),
        )
    say_table(table, 140)


def _to_json(waiting: WaitingClient, now: UtcMicros) -> dict[str, Any]:
    last = waiting.last
    return {
        "client": waiting.client,
        "waiting_seconds": max(0, now - waiting.since) // MICROS_PER_SECOND,
        "missed": len(waiting.missed),
        "first_missed_at": iso_utc(waiting.since),
        "last_missed_at": iso_utc(last.started_at),
        "tries": len(waiting.tries),
        "last_try_at": iso_utc(waiting.tries[-1].started_at) if waiting.tries else None,
        "pbx": last.pbx,
        "call_id": last.call_id,
        "outcome": last.outcome,
        "did": last.did,
        "trunk": last.trunk,
        "queue": last.queue,
        "rang_last": last.rang_last,
    }
