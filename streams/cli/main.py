"""The command `cel2crm` and its subcommands."""

import sys

import typer

from streams.cli import (
    backfill,
    capture,
    classify,
    connectors,
    dead_letters,
    deliver,
    deliveries,
    explain,
    portal,
    rules,
    topics,
    worker,
)
from streams.errors import UserError

app = typer.Typer(
    name="cel2crm",
    help="Turn every phone call that Asterisk logs into one precise outcome, on Kafka and in each CRM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("classify")(classify.classify)
app.add_typer(rules.app, name="rules")
app.command("capture")(capture.capture)
app.command("explain")(explain.explain)
app.add_typer(connectors.app, name="connectors")
app.command("deliveries")(deliveries.deliveries)
app.command("deliver")(deliver.deliver)
app.command("backfill")(backfill.backfill_calls)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(portal.app, name="portal")
app.add_typer(topics.app, name="topics")
app.add_typer(worker.app, name="worker")


def main() -> None:
    """Run a command; a user's mistake ends with one message and exit status 2."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"cel2crm: {error.problem}\n")
        if error.remedy:
            sys.stderr.write(f"  {error.remedy}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
