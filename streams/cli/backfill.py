"""`cel2crm backfill`: whole calls from the PBX's table again."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from connectors.apply import connect_client
from connectors.client import describe_status
from connectors.source import connector_name
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption
from streams.cli.output import add_remark, say
from streams.cli.pbx_option import PbxOption, chosen_pbxs, for_each_pbx, one_pbx
from streams.cli.prompts import ByOption, NoteOption, YesOption, confirm, operator_name
from streams.clock import format_span, utc_now_us
from streams.dead_letter_reasons import Recovery
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations import dead_letter_commands
from streams.operations.backfill import (
    Waiting,
    already_classified,
    backfill,
    checked_linkedid,
    is_plain,
    unread_signals,
)
from streams.operations.call_reference import split_call_id
from streams.operations.cel_table import TableCall, calls_begun, calls_named
from streams.operations.dead_letter_commands import Operator
from streams.operations.dead_letter_topic import letters_of
from streams.operations.dead_letters import Filter
from streams.operations.results import newest_results, receiving
from streams.settings import Settings, load_settings
from streams.sources.window import Bound

INCOMPLETE = 1
"""Exit status: something is still missing."""

_IDLE = (
    "waiting: an idle MariaDB ends Debezium's reading only with its next row or its own heartbeat, up to half a minute"
)


def backfill_calls(
    call: Annotated[list[str] | None, typer.Option("--call", help="A call's linkedid; may be given again.")] = None,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Every call whose rows are unresolved dead letters.")
    ] = False,
    ids: Annotated[str | None, typer.Option("--ids", metavar="A-B", help="Calls that begin in these row ids.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Calls that begin from then on: a row id, or the PBX's own clock.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Calls that begin before.")] = None,
    pbx: PbxOption = None,
    deliver: Annotated[bool, typer.Option("--deliver", help="Deliver them to the CRMs afterwards.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be read, and do nothing.")] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait while nothing comes.")] = 120.0,
    yes: YesOption = False,
    by: ByOption = None,
    note: NoteOption = "",
    settings_file: SettingsOption = None,
) -> None:
    """Read whole calls from the PBX's table again, and wait until their results are out.

    For calls whose first rows were missed, because capture began in the middle of them or they were forgotten: their
    late rows are dead letters, and this recovers the calls. Debezium reads the table as it always does; nothing is
    written to the database. Backfilled calls do not ring in a CRM, unless --deliver asks for it; each is looked up
    first where it may be there already.

    Examples:

        cel2crm backfill --call 1795389780.12

        cel2crm backfill --dead-letters --deliver

        cel2crm backfill --since 2026-11-24 --until 2026-11-25 --dry-run
    """
    settings = load_settings(settings_file)
    quiet_kafka_client()
    incomplete = False

    def run(own: Settings) -> None:
        nonlocal incomplete
        calls = _chosen(own, call, ids, since, until, dead_letters=dead_letters)
        if _worth_doing(calls) and not dry_run:
            operator = Operator(operator_name(by), note)
            incomplete |= _backfill(own, calls, operator, patience, deliver=deliver, yes=yes)

    for_each_pbx(_pbxs_meant(settings, pbx, call, ids), run)
    if incomplete:
        raise typer.Exit(INCOMPLETE)


def _worth_doing(calls: list[TableCall]) -> bool:
    rows = sum(each.rows for each in calls)
    add_remark(f"{len(calls):,} calls with {rows:,} rows in the table")
    return bool(calls)


def _backfill(
    settings: Settings, calls: list[TableCall], operator: Operator, patience: float, *, deliver: bool, yes: bool
) -> bool:
    """Backfill calls of one PBX. Whether something is still missing."""
    if deliver:
        _say_how_long(settings, calls)
    confirm(f"Backfill {len(calls):,} calls{' and deliver them' if deliver else ''}?", len(calls), yes=yes)
    waiting = asyncio.run(_run(settings, calls, operator, patience, deliver=deliver))
    _report(waiting, settings)
    return bool(waiting.missing)


def _pbxs_meant(settings: Settings, pbx: str | None, call: list[str] | None, ids: str | None) -> tuple[Settings, ...]:
    """The PBXs whose calls are meant, each with its own settings. Raises UserError: it is not said which one."""
    named = {own for text in call or () if (own := split_call_id(text, settings)[0]) is not None}
    if len(named) > 1 or (pbx is not None and named - {pbx}):
        raise UserError("calls of several PBXs are named", "Give the command once for each PBX.")
    if pbx is None and not named and (call or ids is not None):
        return (one_pbx(settings, None),)  # ids and linkedids are one PBX's own
    return chosen_pbxs(settings, pbx or next(iter(named), None))


def _chosen(
    settings: Settings,
    call: list[str] | None,
    ids: str | None,
    since: str | None,
    until: str | None,
    *,
    dead_letters: bool,
) -> list[TableCall]:
    """The calls that are meant, as the table holds them. Raises UserError."""
    ways = [bool(call), ids is not None, since is not None or until is not None, dead_letters]
    if sum(ways) != 1:
        raise UserError("it is not said which calls", "Give one of --call, --dead-letters, --ids, --since/--until.")
    if call or dead_letters:
        return _named(settings, call, dead_letters=dead_letters)
    if ids is not None:
        first, dash, last = ids.partition("-")
        if not (dash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise UserError(f"--ids {ids!r} is not a stretch of row ids", "Write it as 1200-4711.")
        bounds = Bound(row_id=int(first)), Bound(row_id=int(last) + 1)
    else:
        bounds = Bound.of(since or "0", "--since"), Bound.of(until or str(1 << 62), "--until")
    found = calls_begun(settings, *bounds)
    strange = [each for each in found if not is_plain(each.linkedid)]
    if strange:
        add_remark(f"left out: {len(strange)} calls with a linkedid such as {strange[0].linkedid!r}")
    return [each for each in found if is_plain(each.linkedid)]


def _named(settings: Settings, call: list[str] | None, *, dead_letters: bool) -> list[TableCall]:
    linkedids = []
    for text in call or ():
        _, linkedid = split_call_id(text, settings)
        linkedids.append(checked_linkedid(linkedid))
    if dead_letters:
        linkedids = asyncio.run(_late(settings))
    found = calls_named(settings, linkedids)
    if absent := sorted(set(linkedids) - {each.linkedid for each in found}):
        at = settings.database
        names = ", ".join(absent[:5]) + (" .." if len(absent) > 5 else "")
        if not found and call:
            raise UserError(
                f"{at.name}.{at.table} at {at.host}:{at.port} holds no rows of {names}",
                "Was the table purged, or is it another PBX's call?",
            )
        add_remark(f"not in the table any more: {names}")
    return found


async def _late(settings: Settings) -> list[str]:
    """Linkedids of this PBX's calls whose rows are unresolved dead letters."""
    found: dict[str, None] = {}
    async with operations.connect(settings) as connection:
        async for letter, _ in letters_of(connection, Filter(component="aggregate")):
            pbx, _, linkedid = (letter.call_id or "").partition("/")
            if letter.recovery is Recovery.BACKFILL and pbx == settings.pbx.name and is_plain(linkedid):
                found[linkedid] = None
    return list(found)


def _say_how_long(settings: Settings, calls: list[TableCall]) -> None:
    for portal in receiving(settings, f"{settings.pbx.name}/"):
        seconds = dead_letter_commands.seconds_at_limit(settings, portal.crm, portal.name, len(calls))
        add_remark(
            f"at most {len(calls):,} deliveries to {portal.crm} (portal {portal.name}): about "
            f"{format_span(seconds * 1_000_000)} at the portal's limit"
        )


async def _run(
    settings: Settings, calls: list[TableCall], operator: Operator, patience: float, *, deliver: bool
) -> Waiting:
    await _capture_runs(settings)
    async with operations.connect(settings) as connection:
        began = utc_now_us()
        waiting = await already_classified(connection, calls)
        if waiting.missing:
            if settings.database.engine != "postgresql":
                add_remark(_IDLE)
            with _progress(waiting) as report_progress:
                await backfill(connection, waiting, report_progress, patience_seconds=patience)
        await dead_letter_commands.backfilled(connection, [*waiting.done, *waiting.open], began, operator)
        if deliver:
            results = await newest_results(connection, waiting.done)
            targets = [(portal.crm, record) for name, record in results.items() for portal in receiving(settings, name)]
            await dead_letter_commands.deliver(connection, targets, operator, lambda _: None)
            add_remark(f"{len(targets):,} deliveries ordered: cel2crm deliveries")
    return waiting


async def _capture_runs(settings: Settings) -> None:
    """Raise UserError where the capture does not run: nobody would read the signal."""
    name = connector_name(settings)
    async with connect_client(settings) as connect:
        status = await connect.status(name)
    if status is None or not status.running:
        state = f"there is no connector {name}" if status is None else describe_status(status)
        raise UserError(
            f"the capture does not run: {state}", "See cel2crm connectors status; cel2crm connectors apply."
        )


@contextmanager
def _progress(waiting: Waiting) -> Iterator[Callable[[Waiting], None]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        missing = waiting.missing
        rows = progress.add_task("rows", total=sum(waiting.calls[name].rows for name in missing))
        calls = progress.add_task("calls", total=len(missing))

        def report_progress(now: Waiting) -> None:
            progress.update(rows, completed=now.rows)
            progress.update(calls, completed=len(missing) - len(now.missing))

        yield report_progress


def _report(waiting: Waiting, settings: Settings) -> None:
    if waiting.done:
        say(f"{len(waiting.done):,} calls have results with all their rows")
    if waiting.open:
        limit = format_span(settings.aggregate.time_limit_seconds * 1_000_000)
        say(
            f"{len(waiting.open):,} calls are read, but their rows do not say that they are over: their results come "
            f"when they end, or {limit} after the last row"
        )
    for name in waiting.missing[:20]:
        call, came = waiting.calls[name], len(waiting.seen.get(name, ()))
        why = (
            "is the worker running? cel2crm worker aggregate" if came >= call.rows else "see cel2crm connectors status"
        )
        say(f"missing: {name}: {came} of {call.rows} rows came, no result of all of them; {why}")
    if len(waiting.missing) > 20:
        say(f".. and {len(waiting.missing) - 20:,} more")
    if remark := unread_signals(waiting, settings):
        add_remark(remark)
