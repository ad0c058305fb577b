"""`cel2crm connectors`: the Debezium source in Kafka Connect."""

import asyncio
import signal
import time
from dataclasses import asdict
from typing import Annotated

import typer

from connectors.apply import apply_source, connect_client, words
from connectors.client import ConnectorStatus
from connectors.heartbeat import Heartbeats
from connectors.source import connector_name, heartbeat_topic
from connectors.watch import Watcher
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, say, say_json
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="Bring the PBX's rows to Kafka: apply, see and watch the source connector.", no_args_is_help=True
)

NOT_RUNNING = 1
"""Exit status of `status` when the connector does not run."""


@app.command()
def apply(
    settings: SettingsOption = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until it works.")] = 90.0,
) -> None:
    """Check database, topics and configuration, apply the connector and wait until it works.

    Applied again, it changes nothing, but restarts what has failed.
    """
    quiet_kafka_client()
    applied = asyncio.run(apply_source(load_settings(settings), _progress, timeout_seconds=timeout))
    for warning in applied.warnings:
        add_remark(f"warning: {warning}")
    say(f"{words(applied.status)} ({applied.action})")


@app.command()
def status(
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the connector and its tasks. Exit status 0: all of it runs; 1: it does not.

    The last heartbeat tells whether it follows the database: one comes every few seconds, rows or none.
    """
    quiet_kafka_client()
    loaded = load_settings(settings)
    found = asyncio.run(_status(loaded))
    beat = asyncio.run(_last_heartbeat(loaded)) if found else None
    if as_json:
        facts = asdict(found) if found else {"name": connector_name(loaded), "state": "MISSING"}
        running = found is not None and found.running
        say_json({"running": running, "seconds_since_heartbeat": beat, **facts})
    elif found is None:
        say(f"connector {connector_name(loaded)}: not applied yet (cel2crm connectors apply)")
    else:
        say(f"{words(found)}, {'no heartbeat yet' if beat is None else f'last heartbeat {beat:.0f} s ago'}")
        for failure in found.failures:
            say(f"  {failure.reason}")
            say(f"    {failure.remedy or 'See the log of Kafka Connect.'}")
    if found is None or not found.running:
        raise typer.Exit(NOT_RUNNING)


@app.command()
def delete(settings: SettingsOption = None) -> None:
    """Delete the connector. Its place in the binlog is kept: applied again, it goes on from there."""
    loaded = load_settings(settings)
    name = connector_name(loaded)
    deleted = asyncio.run(_delete(loaded, name))
    say(f"connector {name}: {'deleted' if deleted else 'there was none'}")


@app.command()
def watch(
    settings: SettingsOption = None,
    silence: Annotated[float, typer.Option(min=1, help="Seconds without a heartbeat that count as a failure.")] = 60.0,
) -> None:
    """Stay, and restart what fails or falls silent, waiting longer each time. Ends with SIGTERM or Ctrl-C."""
    quiet_kafka_client()
    asyncio.run(_watch(load_settings(settings), silence))


async def _status(settings: Settings) -> ConnectorStatus | None:
    async with connect_client(settings) as connect:
        return await connect.status(connector_name(settings))


async def _last_heartbeat(settings: Settings) -> float | None:
    """Seconds since the connector last showed that it follows the database."""
    async with Heartbeats(settings.kafka.bootstrap_servers, heartbeat_topic(settings)) as beats:
        last = await beats.last()
    return None if last is None else round(max(0.0, time.time() - last), 1)


async def _delete(settings: Settings, name: str) -> bool:
    async with connect_client(settings) as connect:
        return await connect.delete(name)


async def _watch(settings: Settings, silence: float) -> None:
    beats = Heartbeats(settings.kafka.bootstrap_servers, heartbeat_topic(settings))
    async with connect_client(settings) as connect, beats:
        watcher = Watcher(connect, connector_name(settings), beats.count, silence_seconds=silence)
        watching = asyncio.ensure_future(watcher.run())
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
