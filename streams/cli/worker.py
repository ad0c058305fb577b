"""`cel2crm worker`: the long-running parts; one for each registered CRM. Several of them may share a process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from connectors.acls import acls_of
from streams.cli.options import SettingsOption, warn_of_plugins
from streams.crm.registry import kind_of, registered
from streams.settings import load_settings

app = typer.Typer(help="Run a worker, until SIGTERM.", no_args_is_help=True)

OthersArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CRM",
        help=f"CRMs in the same process, as in `cel2crm worker aggregate {next(iter(registered().kinds))}`: less "
        "memory on one server. They share its login at the brokers, and end together; on a cluster one process each.",
    ),
]


@app.command()
def aggregate(others: OthersArgument = None, settings: SettingsOption = None) -> None:
    """Fold CEL rows into calls; send each call's result and legs."""
    _run(["aggregate", *(others or ())], settings)


def _add_crm(name: str, summary: str) -> None:
    @app.command(name, help=summary)
    def deliver(others: OthersArgument = None, settings: SettingsOption = None) -> None:
        _run([name, *(others or ())], settings)


def _run(names: Sequence[str], settings_file: Path | None) -> None:
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
    acls = dict.fromkeys(acl for each in names for acl in acls_of(loaded, each))
    workers = [AggregateWorker(loaded) if each == "aggregate" else DeliverWorker(loaded, each) for each in names]
    runtime.run(loaded, workers, list(acls))


for _kind in registered().kinds.values():
    _add_crm(_kind.name, _kind.summary)
for _name, _why in registered().unusable.items():
    _add_crm(_name, f"Cannot be used: {_why}.")
