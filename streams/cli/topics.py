"""`cel2crm topics`: the topics of connectors/topics.yaml."""

import asyncio
from typing import Annotated

import typer

from connectors.topics import TopicChange, apply_topics, topic_table
from streams.cli.connected import connected
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption, warn_of_plugins
from streams.cli.output import remark, say
from streams.cli.prompts import ASK_FROM, ByOption, NoteOption, YesOption, confirm, operator_name
from streams.operations.dead_letter_commands import Operator
from streams.operations.set_aside import set_aside, unreadable_at
from streams.settings import load_settings

app = typer.Typer(help="Make the product's topics, and show them.", no_args_is_help=True)


@app.command()
def apply(
    settings: SettingsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Also lower retentions: Kafka then deletes records.")
    ] = False,
) -> None:
    """Make the missing topics and bring the settings of the others up to the declaration.

    Partitions and cleanup policies are never changed: such a difference is refused, and nothing is done.
    """
    quiet_kafka_client()
    warn_of_plugins()
    changes = asyncio.run(apply_topics(load_settings(settings), dry_run=dry_run, shrink=shrink))
    for change in changes:
        if change.action != "unchanged":
            say(line_of(change, dry_run=dry_run))
    done = sum(change.action != "unchanged" for change in changes)
    unchanged = len(changes) - done
    say(f"{done} of {len(changes)} topics {'to change' if dry_run else 'changed'}, {unchanged} as declared")


@app.command()
def show(settings: SettingsOption = None) -> None:
    """Show each topic as it is, and what `apply` would do with it."""
    quiet_kafka_client()
    warn_of_plugins()
    head = ("topic", "partitions", "replicas", "cleanup", "retention", "state")
    rows = [head, *asyncio.run(topic_table(load_settings(settings)))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    for row in rows:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))


@app.command("set-aside")
def set_aside_record(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As the worker names it.")],
    yes: YesOption = False,
    by: ByOption = None,
    note: NoteOption = "",
    settings: SettingsOption = None,
) -> None:
    """Have workers pass over a record of their own memory that they cannot read, and stop at.

    For delivery logs, portal-states and checkpoints. Nothing is deleted; who did it, when and why is recorded. Until
    then the record's call is neither lost nor entered twice, for its worker stands still.

    Example:

        cel2crm topics set-aside cel2crm.aggregate-checkpoints/3/1207 --note "disk fault"
    """
    quiet_kafka_client()
    with connected(load_settings(settings)) as (connection, runner):
        record = runner.run(unreadable_at(connection, place))
        remark(f"{record.place}, key {record.key!r}: {record.why}")
        confirm(f"Have workers pass over {record.place}?", ASK_FROM, yes=yes)
        runner.run(set_aside(connection, record, Operator(operator_name(by), note)))
    say(f"{record.place} is set aside; start its worker")


def line_of(change: TopicChange, *, dry_run: bool) -> str:
    """The line that reports what was done, or would be done, with a topic."""
    verb = f"would {change.action}" if dry_run else {"create": "created", "alter": "altered"}[change.action]
    return f"{verb} {change.topic} ({', '.join(change.details)})"
