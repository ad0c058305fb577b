"""`cel2crm worker`: the long-running parts, one process each; one for each registered CRM."""

import typer

from connectors.acls import acls_of
from streams.cli.options import SettingsOption, warn_of_plugins
from streams.crm.registry import kind_of, registered
from streams.settings import load_settings

app = typer.Typer(help="Run a worker, until SIGTERM.", no_args_is_help=True)


@app.command()
def aggregate(settings: SettingsOption = None) -> None:
    """Fold CEL rows into calls; send each call's result and legs."""
    # Faust takes a second to import: not for every other command.
    from streams.kafka import worker_runtime as runtime
    from streams.workers.aggregate.worker import AggregateWorker

    loaded = load_settings(settings)
    runtime.run(loaded, AggregateWorker(loaded), acls_of(loaded, "aggregate"))


def _add_crm(name: str, summary: str) -> None:
    @app.command(name, help=summary)
    def deliver(settings: SettingsOption = None) -> None:
        kind_of(name)  # where its plugin cannot be used, it says so and ends
        warn_of_plugins()
        from streams.kafka import worker_runtime as runtime
        from streams.workers.deliver.worker import DeliverWorker

        loaded = load_settings(settings)
        runtime.run(loaded, DeliverWorker(loaded, name), acls_of(loaded, name))


for _kind in registered().kinds.values():
    _add_crm(_kind.name, _kind.summary)
for _name, _why in registered().unusable.items():
    _add_crm(_name, f"Cannot be used: {_why}.")
