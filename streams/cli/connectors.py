"""`cel2crm connectors`: the Debezium source in Kafka Connect, and the sinks into databases and lakes for analysts."""

import asyncio
import signal
from collections.abc import Sequence
from typing import Annotated

import typer

from connectors.apply import apply_source, connect_client, open_capture
from connectors.captured_rows import CapturedRows
from connectors.client import describe_status
from connectors.engines import engine_of
from connectors.kafka_login import worker_properties
from connectors.progress import Progress
from connectors.report import CaptureReport, report
from connectors.sinks.apply import apply_sink
from connectors.sinks.connected import connectors_of, sink_connect_client
from connectors.sinks.iceberg.config import catalog_statements
from connectors.sinks.jdbc.tables import sql_file
from connectors.sinks.report import SinkReport, report_sinks
from connectors.sinks.shared import sink_named
from connectors.source import connector_name
from connectors.start_afresh import start_afresh
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, say, say_json
from streams.cli.pbx_option import AT_ONCE, OnePbxOption, PbxOption, at_once_for_each_pbx, chosen_pbxs, one_pbx
from streams.cli.prompts import ASK_FROM, YesOption, confirm
from streams.cli.verdict_line import verdict_line
from streams.cli.watching import SILENCE_SECONDS, watch_connectors
from streams.kafka.metrics import serve_metrics
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="Bring the PBX's rows to Kafka, and calls to SQL databases and lakes: apply, see and watch the connectors.",
    no_args_is_help=True,
)

UNHEALTHY = 1
"""Exit status of `status` when rows are not captured, or may be missing."""

SinkOption = Annotated[
    str | None,
    typer.Option("--sink", metavar="NAME", help="A sink of the settings, not the source.", show_default=False),
]
SilenceOption = Annotated[
    float, typer.Option("--silence", min=1, help="Seconds without a heartbeat that count as a failure.")
]


@app.command()
def apply(
    settings: SettingsOption = None,
    sink: SinkOption = None,
    pbx: PbxOption = None,
    restart: Annotated[bool, typer.Option("--restart", help="Restart the connector also where it works.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until it works.")] = 90.0,
) -> None:
    """Check database, topics and configuration, apply the connector and wait until it works; of several PBXs, each's.

    With --sink: the connectors that bring results, legs, deliveries, dead letters or raw rows into that sink.

    Applied again, it changes nothing, but restarts what has failed and resumes what is stopped or paused. Where rows
    would be skipped (the database was reset, restored or replaced, the connector's position is lost) it refuses: see
    start-afresh.
    """
    quiet_kafka_client()
    if sink is not None:
        for part in asyncio.run(apply_sink(load_settings(settings), sink, _progress, timeout_seconds=timeout)):
            say(f"{describe_status(part.status)}, {part.behind} records behind ({part.action})")
        return
    chosen = chosen_pbxs(load_settings(settings), pbx)
    asyncio.run(at_once_for_each_pbx(chosen, lambda each, told: _apply(each, told, seconds=timeout, restart=restart)))


@app.command(name="worker-properties")
def worker_properties_command(settings: SettingsOption = None) -> None:
    """Print how Kafka Connect itself logs in to the brokers: lines for its connect-distributed.properties.

    Its own client and those of its connectors each have a login, under prefixes of their own. Secrets stand there by
    reference: the file that they lead to has to be on Connect's host.

    Example:

        cel2crm connectors worker-properties >> /etc/kafka/connect-distributed.properties
    """
    for name, value in worker_properties(load_settings(settings)).items():
        say(f"{name}={value}")


@app.command()
def tables(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="A sink of the settings.")],
    settings: SettingsOption = None,
) -> None:
    """Print the statements that make a sink's tables and views, for the owner of the database; again after an upgrade.

    Of a lake: the tables of its catalog in PostgreSQL.

    Examples:

        cel2crm connectors tables postgresql | psql -1 -v ON_ERROR_STOP=1 calls

        cel2crm connectors tables mariadb | mariadb calls

        cel2crm connectors tables iceberg | psql -1 -v ON_ERROR_STOP=1 lake
    """
    found = sink_named(load_settings(settings), sink)
    say((catalog_statements(found) if found.in_lake else sql_file(found).read_text(encoding="utf-8")).rstrip())


@app.command(name="start-afresh")
def start_afresh_command(
    settings: SettingsOption = None,
    pbx: OnePbxOption = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until it works.")] = 120.0,
    yes: YesOption = False,
) -> None:
    """Capture from now on, where the connector's position is of no use any more. Names the backfill for the gap.

    After a purged binlog, a lost schema history or position, a database that was reset, restored or replaced: stops
    the connector, deletes its position, resumes it, waits until it follows the database, and remembers the database
    as it is now. Rows written since the last captured one are not lost while they are in the table: the backfill that
    it names brings them.
    """
    quiet_kafka_client()
    loaded = one_pbx(load_settings(settings), pbx)
    confirm(f"Delete the position of connector {connector_name(loaded)}, and capture from now on?", ASK_FROM, yes=yes)
    started = asyncio.run(start_afresh(loaded, _progress, timeout_seconds=timeout))
    for warning in started.warnings:
        add_remark(f"warning: {warning}")
    say(f"{describe_status(started.status)} (started afresh)")
    say("Rows written before are not on the topic unless they were captured. To bring them from the table:")
    of_several = f" --pbx {loaded.pbx.name}" if loaded.pbxs else ""
    say(f"    cel2crm backfill --since '{started.backfill_since}'{of_several}")
    say("(and --deliver to deliver them to the CRMs; calls that have their results already are left alone)")


@app.command()
def status(
    settings: SettingsOption = None,
    as_json: JsonOption = False,
    pbx: PbxOption = None,
) -> None:
    """Show the connector, and whether it follows the database that it followed before; and the sinks.

    Exit status 0: rows are captured, none may be missing, and the sinks work; 1: something is wrong, with what to do.
    The last heartbeat tells whether it follows the database: one comes every few seconds, rows or none.
    """
    quiet_kafka_client()
    loaded = load_settings(settings)
    with verdict_line(loaded, told="capture"):
        found, sinks = asyncio.run(_report(chosen_pbxs(loaded, pbx)))
        reports: list[CaptureReport | SinkReport] = [*found.values(), *sinks]
        if as_json:
            first = next(iter(found.values())).as_json()
            further = {"pbxs": {name: each.as_json() for name, each in found.items()}} if len(found) > 1 else {}
            say_json({**first, **further, "sinks": [each.as_json() for each in sinks]})
        else:
            for line in [line for each in reports for line in each.lines()]:
                say(line)
        if not all(each.healthy for each in reports):
            raise typer.Exit(UNHEALTHY)


@app.command()
def delete(settings: SettingsOption = None, sink: SinkOption = None, pbx: OnePbxOption = None) -> None:
    """Delete the connector, or those of a sink. Its place is kept: applied again, it goes on from there."""
    loaded = load_settings(settings)
    if sink is not None:
        for name, deleted in asyncio.run(_delete_sink(loaded, sink)).items():
            say(f"connector {name}: {'deleted' if deleted else 'there was none'}")
        return
    loaded = one_pbx(loaded, pbx)
    name = connector_name(loaded)
    deleted = asyncio.run(_delete(loaded, name))
    say(f"connector {name}: {'deleted' if deleted else 'there was none'}")
    if left := engine_of(loaded).left_behind(loaded):
        add_remark(left)


@app.command()
def watch(
    settings: SettingsOption = None,
    silence: SilenceOption = SILENCE_SECONDS,
    pbx: PbxOption = None,
) -> None:
    """Stay, and restart what fails or falls silent, waiting longer each time. Ends with SIGTERM or Ctrl-C only.

    Each minute, and before each restart, the database is compared with what is remembered of it. Where rows may be
    missing (a purged binlog, a database that was reset, restored or replaced, a lost position) the connector is
    stopped, and that is said every minute, until a person gives start-afresh.

    Failed connectors of sinks are restarted too, each with waits of its own.

    After each restart of a task, and once an hour, it looks for gaps in what came since (see cel2crm gaps), and says
    what it found. About once a minute it marks until when all rows are on the topic, from which the aggregate workers
    tell until when calls are complete (see cel2crm results --complete-until).
    """
    quiet_kafka_client()
    loaded = load_settings(settings)
    end_metrics = serve_metrics(loaded.connect.metrics_port, loaded.worker.web_host, "connect.metrics_port")
    try:
        asyncio.run(_watch(loaded, chosen_pbxs(loaded, pbx), silence))
    finally:
        end_metrics()


async def _apply(settings: Settings, progress: Progress, *, seconds: float, restart: bool) -> None:
    applied = await apply_source(settings, progress, timeout_seconds=seconds, restart=restart)
    for warning in applied.warnings:
        progress(f"warning: {warning}")
    say(f"{describe_status(applied.status)} ({applied.action})")


async def _report(chosen: Sequence[Settings]) -> tuple[dict[str, CaptureReport], list[SinkReport]]:
    """By name of the PBX, in the order of the settings."""
    turns, captured = asyncio.Semaphore(AT_ONCE), CapturedRows.of_all(chosen[0])

    async def of(settings: Settings) -> CaptureReport:
        async with turns, open_capture(settings, captured) as capture:
            return await report(capture)

    reports = await asyncio.gather(*map(of, chosen))
    found = {settings.pbx.name: told for settings, told in zip(chosen, reports, strict=True)}
    return found, await report_sinks(chosen[0])


async def _delete_sink(settings: Settings, name: str) -> dict[str, bool]:
    """Whether there was one, by connector."""
    async with sink_connect_client(settings) as connect:
        connectors = connectors_of(settings, sink_named(settings, name))
        return {each.name: await connect.delete(each.name) for each in connectors}


async def _delete(settings: Settings, name: str) -> bool:
    async with connect_client(settings) as connect:
        return await connect.delete(name)


async def _watch(settings: Settings, chosen: Sequence[Settings], silence: float) -> None:
    watching = asyncio.ensure_future(watch_connectors(settings, chosen, silence))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watching.cancel)
    try:
        await watching
    except asyncio.CancelledError:
        add_remark("watch ended")
    finally:
        # A second signal (Ctrl-C again, one for the process group) must not disturb the end.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def _progress(line: str) -> None:
    add_remark(line)
