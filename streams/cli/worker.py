"""`cel2crm worker`: the long-running parts; one for each registered CRM. Several of them may share a process."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connectors.acls import acls_of
from streams.cli.options import SettingsOption, warn_of_plugins
from streams.crm.registry import kind_of, registered
from streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from streams.kafka.background import BackgroundService

app = typer.Typer(help="Run a worker, until SIGTERM.", no_args_is_help=True)

OthersArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CRM",
        help=f"CRMs in the same process, as in `cel2crm worker aggregate {next(iter(registered().kinds))}`: less "
        "memory on one server. They share its login at the brokers, and end together; on a cluster one process each.",
    ),
]

WatchOption = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Watch the connectors too, as `cel2crm connectors watch` does: beside the workers, in a thread of its "
        "own, with their login at the brokers. Its fault is told, and it is begun anew; the workers go on.",
    ),
]


@app.command()
def aggregate(others: OthersArgument = None, watch: WatchOption = False, settings: SettingsOption = None) -> None:
    """Fold CEL rows into calls; send each call's result and legs."""
    _run(["aggregate", *(others or ())], settings, watch=watch)


def _add_crm(name: str, summary: str) -> None:
    @app.command(name, help=summary)
    def deliver(others: OthersArgument = None, watch: WatchOption = False, settings: SettingsOption = None) -> None:
        _run([name, *(others or ())], settings, watch=watch)


def _run(names: Sequence[str], settings_file: Path | None, *, watch: bool) -> None:
    names = list(dict.fromkeys(names))
    crms = [each for each in names if each != "aggregate"]
    for each in crms:
        kind_of(each)  # where its plugin cannot be used, or there is none, it says so and ends
    if crms:
        warn_of_plugins()
    # Faust takes a second to import: not for every other command.
    from streams.kafka import worker_runtime as runtime
    from streams.workers.aggregate.worker import AggregateWorker
    from streams.workers.deliver.worker import DeliverWorker

    loaded = load_settings(settings_file)
    services = [_watching(loaded)] if watch else []
    acls = dict.fromkeys(acl for each in names for acl in acls_of(loaded, each))
    workers = [AggregateWorker(loaded) if each == "aggregate" else DeliverWorker(loaded, each) for each in names]
    runtime.run(loaded, workers, list(acls), services)


def _watching(settings: Settings) -> "BackgroundService":
    """Raises SettingsError: a PBX has no database that could be watched."""
    from streams.cli.watching import watch_connectors
    from streams.kafka.background import BackgroundService

    chosen = settings.each_pbx()
    return BackgroundService("connectors watch", lambda: watch_connectors(settings, chosen))


for _kind in registered().kinds.values():
    _add_crm(_kind.name, _kind.summary)
for _name, _why in registered().unusable.items():
    _add_crm(_name, f"Cannot be used: {_why}.")
