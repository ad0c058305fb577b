"""The group of commands `cel2crm replay`."""

import typer

from streams.cli.replay.diff import diff
from streams.cli.replay.plan import plan

app = typer.Typer(help="Judge calls anew from the rows on Kafka: plan, compare.", no_args_is_help=True)
app.command()(plan)
app.command()(diff)
