"""`cel2crm worker`: the long-running parts; one for each registered CRM. Several CRMs may share a process."""

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
        help=f"Further CRMs in the same process, as in `cel2crm worker {' '.join(list(registered().kinds)[:2])}`: less "
        "memory on one server. They share its login at the brokers, and end together; on a cluster run one process "
        "each.",
    ),
]


@app.command()
def aggregate(settings: SettingsOption = None) -> None:
    """Fold CEL rows into calls; send each call's result and legs."""
    # Faust takes a second to import: not for every other command.
    from streams.kafka import worker_runtime as runtime
    from streams.workers.aggregate.worker import AggregateWorker

    loaded = load_settings(settings)
    runtime.run(loaded, [AggregateWorker(loaded)], acls_of(loaded, "aggregate"))


def _add_crm(name: str, summary: str) -> None:
    @app.command(name, help=summary)
    def deliver(others: OthersArgument = None, settings: SettingsOption = None) -> None:
        names = list(dict.fromkeys((name, *(others or ()))))
        for each in names:
            kind_of(each)  # where its plugin cannot be used, or there is none, it says so and ends
        warn_of_plugins()
        from streams.kafka import worker_runtime as runtime
        from streams.workers.deliver.worker import DeliverWorker

        loaded = load_settings(settings)
        acls = dict.fromkeys(acl for each in names for acl in acls_of(loaded, each))
        runtime.run(loaded, [DeliverWorker(loaded, each) for each in names], list(acls))


for _kind in registered().kinds.values():
    _add_crm(_kind.name, _kind.summary)
for _name, _why in registered().unusable.items():
    _add_crm(_name, f"Cannot be used: {_why}.")
