"""`cel2crm connectors`: the Debezium source in Kafka Connect."""

import asyncio
import json
import signal
from dataclasses import asdict
from typing import Annotated

import typer

from connectors.capture import apply_source, connect_client, words
from connectors.client import ConnectorStatus
from connectors.source import connector_name
from connectors.watch import Watcher
from streams.cli.topics import SettingsOption, quiet_kafka_client
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
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{words(applied.status)} ({applied.action})")


@app.command()
def status(
    settings: SettingsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one JSON object.")] = False,
) -> None:
    """Show the connector and its tasks. Exit status 0: all of it runs; 1: it does not."""
    loaded = load_settings(settings)
    found = asyncio.run(_status(loaded))
    if as_json:
        facts = {"running": found.running, **asdict(found)} if found else None
        typer.echo(json.dumps(facts or {"running": False, "name": connector_name(loaded), "state": "MISSING"}))
    elif found is None:
        typer.echo(f"connector {connector_name(loaded)}: not applied yet (cel2crm connectors apply)")
    else:
        typer.echo(words(found))
        for failure in found.failures:
            typer.echo(f"  {failure.reason}")
            typer.echo(f"    {failure.remedy or 'See the log of Kafka Connect.'}")
    if found is None or not found.running:
        raise typer.Exit(NOT_RUNNING)


@app.command()
def delete(settings: SettingsOption = None) -> None:
    """Delete the connector. Its place in the binlog is kept: applied again, it goes on from there."""
    loaded = load_settings(settings)
    name = connector_name(loaded)
    deleted = asyncio.run(_delete(loaded, name))
    typer.echo(f"connector {name}: {'deleted' if deleted else 'there was none'}")


@app.command()
def watch(settings: SettingsOption = None) -> None:
    """Stay, and restart what fails, waiting longer each time. Ends with SIGTERM or Ctrl-C."""
    asyncio.run(_watch(load_settings(settings)))


async def _status(settings: Settings) -> ConnectorStatus | None:
    async with connect_client(settings) as connect:
        return await connect.status(connector_name(settings))


async def _delete(settings: Settings, name: str) -> bool:
    async with connect_client(settings) as connect:
        return await connect.delete(name)


async def _watch(settings: Settings) -> None:
    async with connect_client(settings) as connect:
        watching = asyncio.ensure_future(Watcher(connect, connector_name(settings)).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, watching.cancel)
        try:
            await watching
        except asyncio.CancelledError:
            typer.echo("watch ended", err=True)


def _progress(line: str) -> None:
    typer.echo(line, err=True)
