"""`cel2crm results`: calls as they stand on their topic."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from streams.analysis.result_filter import ResultFilter, checked_pbx, checked_window, wanted_numbers, wanted_results
from streams.analysis.truth import Truths, follow_truths, read_truths
from streams.calls.json_form import encode_call, json_fields
from streams.calls.result import CallResult
from streams.cli.complete_until import tell_complete_until
from streams.cli.filter_options import SinceOption, UntilOption
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import Table, remark, say, say_json, say_json_line, say_lines, say_table
from streams.cli.verdict_line import verdict_line
from streams.clock import MICROS_PER_DAY, local_time, utc_now_us
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations.dead_letters import moment
from streams.operations.masking import masked, masked_text
from streams.settings import Settings, load_settings

_TURN_SECONDS = 1.0

PbxOption = Annotated[str | None, typer.Option("--pbx", help="Only of this PBX of the settings.")]


def results(
    since: SinceOption = None,
    until: UntilOption = None,
    pbx: PbxOption = None,
    result: Annotated[
        list[str] | None,
        typer.Option("--result", help="Only with this result (486) or outcome (missed); may be given more than once."),
    ] = None,
    number: Annotated[
        str | None, typer.Option("--number", help="Only with this number: of the client, the DID or an extension.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with calls as they end, until Ctrl-C.")] = False,
    complete_until: Annotated[
        bool,
        typer.Option("--complete-until", help="Say until when the calls of each PBX are complete."),
    ] = False,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Show calls as they stand on the topic call-results: of each, its newest version, in the order of their start.

    Without --since, those that began within the last 24 hours. --json gives the whole call, in the form that
    docs/calls.md tells. With --follow a call comes again when a later version changes it. Only reads. Phone numbers are
    masked with `logging: {mask_numbers: true}`.

    With --complete-until: the time of each PBX (or of --pbx) before which every call that began is on the topic, or in
    the dead letters; later versions may still come. It moves while nobody calls. Exit status 1: not known of all.

    Examples:

        cel2crm results --since 2026-11-25 --result missed --result busy

        cel2crm results --number +79161234567 --json | jq .why

        cel2crm results --follow

        cel2crm results --complete-until --pbx office --json | jq -r .complete_until
    """
    settings = load_settings(settings_file)
    if complete_until:
        if any((since, until, result, number, follow)):
            raise UserError(
                "--complete-until tells of the topic as a whole, not of certain calls",
                "Give it alone, or with --pbx and --json.",
            )
        tell_complete_until(settings, checked_pbx(pbx, settings), as_json=as_json)
        return
    begin, end = moment(since, "--since"), moment(until, "--until")
    if begin is None:
        begin = (utc_now_us() if end is None else end) - MICROS_PER_DAY
    checked_window(begin, end)
    codes, words = wanted_results(result or ())
    wanted = ResultFilter(begin, end, checked_pbx(pbx, settings), codes, words, wanted_numbers(number, settings))
    truths = Truths(lambda _, call: call if wanted.wants(call) else None)
    quiet_kafka_client()
    if follow:
        asyncio.run(_follow(settings, truths, begin, as_json=as_json))
        return
    with verdict_line(settings):
        asyncio.run(_read(settings, truths, begin))
        calls = sorted(truths.all(), key=lambda each: (each.started_at, each.call_id))
        if as_json:
            for call in calls:
                _say_json(call, settings)
        else:
            _say_table(calls, settings)
        if truths.unreadable:
            remark(f"{truths.unreadable} records of the topic cannot be read")


async def _read(settings: Settings, truths: Truths[CallResult], since: int) -> None:
    async with operations.connect(settings) as connection:
        await read_truths(connection, truths, since)


async def _turns() -> AsyncIterator[None]:
    while True:
        await asyncio.sleep(_TURN_SECONDS)
        yield


async def _follow(settings: Settings, truths: Truths[CallResult], since: int, *, as_json: bool) -> None:
    async with operations.connect(settings) as connection:
        async for call in follow_truths(connection, truths, since, _turns):
            if as_json:
                _say_json(call, settings)
            else:
                say_lines([_line(call, settings)])
            sys.stdout.flush()


def _say_json(call: CallResult, settings: Settings) -> None:
    if settings.logging.mask_numbers:
        say_json(masked(json_fields(call), numbers=True))
    else:
        say_json_line(encode_call(call))


def _say_table(calls: list[CallResult], settings: Settings) -> None:
    if not calls:
        say("no calls")
        return
    table = Table(header_style="bold")
    for name in ("began", "direction", "caller", "called", "outcome", "result", "with", "queue"):
        table.add_column(name, overflow="fold")
    table.add_column("talk", justify="right")
    for call in calls:
        table.add_row(*_cells(call, settings))
    say_table(table, 140)


def _cells(call: CallResult, settings: Settings) -> tuple[str, ...]:
    def shown(number: str | None) -> str:
        return masked_text(number or "-", numbers=settings.logging.mask_numbers)

    return (
        local_time(call.started_at, call.utc_offset_seconds),
        call.direction,
        shown(call.caller),
        shown(call.called),
        call.outcome or "-",
        f"{call.result} {call.result_name}",
        shown(call.answered_by or call.extension),
        call.queue or "-",
        "-" if call.talk_seconds is None else f"{call.talk_seconds:.0f} s",
    )


def _line(call: CallResult, settings: Settings) -> str:
    began, direction, caller, called, outcome, result, other, queue, talk = _cells(call, settings)
    asked = "" if call.queue is None else f", queue {queue}"
    return (
        f"{began}  {call.call_id}  {direction}  {caller} -> {called}  {outcome}: {result}, with {other}{asked}, {talk}"
    )
