"""`cel2crm worker`: the long-running parts, one process each."""

from pathlib import Path

import typer

from streams.cli.options import SettingsOption
from streams.settings import load_settings

app = typer.Typer(help="Run a worker, until SIGTERM.", no_args_is_help=True)


@app.command()
def aggregate(settings: SettingsOption = None) -> None:
    """Fold CEL rows into calls; send each call's result and legs."""
    # Faust takes a second to import: not for every other command.
    from streams.kafka import worker_runtime as runtime
    from streams.workers.aggregate.worker import AggregateWorker

    loaded = load_settings(settings)
    runtime.run(loaded, AggregateWorker(loaded))


@app.command()
def bitrix24(settings: SettingsOption = None) -> None:
    """Deliver call results to Bitrix24."""
    _deliver("bitrix24", settings)


@app.command()
def kommo(settings: SettingsOption = None) -> None:
    """Deliver call results to Kommo (amoCRM)."""
    _deliver("kommo", settings)


@app.command()
def webhook(settings: SettingsOption = None) -> None:
    """Send call results to a receiver of your own, signed as Standard Webhooks has it."""
    _deliver("webhook", settings)


def _deliver(crm: str, settings: Path | None) -> None:
    from streams.kafka import worker_runtime as runtime
    from streams.workers.deliver.worker import DeliverWorker

    loaded = load_settings(settings)
    runtime.run(loaded, DeliverWorker(loaded, crm))
