"""`cel2crm topics`: the topics of connectors/topics.yaml."""

import asyncio
from typing import Annotated

import typer

from connectors.acls import acls_of, command_lines, parts, principal_of
from connectors.acls import as_json as acls_as_json
from connectors.topics import TopicChange, apply_topics, topic_table
from streams.cli.connected import connected
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption, warn_of_plugins
from streams.cli.output import remark, say, say_json
from streams.cli.prompts import ASK_FROM, ByOption, NoteOption, YesOption, confirm, operator_name
from streams.kafka.access import create_acls
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


@app.command("acls")
def acls_command(
    part: Annotated[
        str | None, typer.Argument(help="connect, aggregate, a CRM's name, operator or reader. All without it.")
    ] = None,
    apply_them: Annotated[
        bool, typer.Option("--apply", help="Make them: as an administrator, who may Alter the cluster.")
    ] = False,
    as_json: JsonOption = False,
    settings: SettingsOption = None,
) -> None:
    """Print what each part must be allowed on the brokers, as lines of kafka-acls.sh, or make it.

    Each part logs in as a principal of its own (kafka.principals) and has the least rights with which it works. The
    operator's rights do not suffice to make ACLs. None is ever taken away.

    Examples:

        cel2crm topics acls                         # lines for kafka-acls.sh
        cel2crm topics acls aggregate
        CEL2CRM_KAFKA__SASL_USERNAME=admin cel2crm topics acls --apply
    """
    quiet_kafka_client()
    warn_of_plugins()
    loaded = load_settings(settings)
    wanted = {part: acls_of(loaded, part)} if part else parts(loaded)
    if apply_them:
        asyncio.run(create_acls(loaded.kafka, {principal_of(loaded, name): acls for name, acls in wanted.items()}))
    if as_json:
        say_json([each for each in acls_as_json(loaded) if each["part"] in wanted])
        return
    for name, acls in wanted.items():
        if apply_them:
            say(f"{name}: {principal_of(loaded, name)} has its {sum(len(acl.operations) for acl in acls)} ACLs")
        else:
            say(f"# {name}")
            for line in command_lines(loaded, name, acls):
                say(line)


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
