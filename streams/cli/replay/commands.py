"""The group of commands `cel2crm replay`."""

import typer

from streams.cli.replay.deliver import deliver_again
from streams.cli.replay.diff import diff
from streams.cli.replay.plan import plan
from streams.cli.replay.publish import publish_corrections
from streams.cli.replay.run import resume, run
from streams.cli.replay.standing import cancel, drop, status

app = typer.Typer(
    help="Judge calls anew from the rows on Kafka: plan, compare, publish, deliver.", no_args_is_help=True
)
app.command("publish")(publish_corrections)
app.command("deliver")(deliver_again)
for command in (plan, diff, run, status, resume, cancel, drop):
    app.command()(command)
