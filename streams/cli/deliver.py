"""`cel2crm deliver`: an operator's order to deliver calls, whatever their time."""

from typing import Annotated

import typer

from streams.cli.connected import connected
from streams.cli.filter_options import CrmOption
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption
from streams.cli.output import say
from streams.cli.prompts import ByOption, NoteOption, YesOption, confirm, operator_name, progress_bar
from streams.cli.verdict_line import verdict_line
from streams.errors import UserError
from streams.kafka.topic_client import TopicRecord
from streams.operations import dead_letter_commands
from streams.operations.call_reference import call_ids
from streams.operations.connection import Connection, check_crm
from streams.operations.dead_letter_commands import Operator
from streams.operations.results import newest_results, receiving
from streams.settings import load_settings
from streams.topics import CALL_RESULTS


def deliver(
    calls: Annotated[list[str], typer.Argument(metavar="CALL...", help="Calls: their linkedids, or PBX/linkedid.")],
    crm: CrmOption = None,
    yes: YesOption = False,
    by: ByOption = None,
    note: NoteOption = "",
    settings_file: SettingsOption = None,
) -> None:
    """Order calls to be delivered that were skipped for their time, backfilled, dropped, or lost in the CRM.

    The worker that owns the call does it. A call that was delivered before, or may have been, is looked up in the CRM
    first, and sent only if it is not there. What kind of call it is still counts: internal calls stay out.

    Examples:

        cel2crm deliver 1795389780.12

        cel2crm deliver office/1795389780.12 --crm kommo --note "lost in their restore"
    """
    settings = load_settings(settings_file)
    check_crm(crm)
    quiet_kafka_client()
    with verdict_line(settings), connected(settings) as (connection, runner):
        targets = runner.run(_targets(connection, calls, crm))
        confirm(f"Order {len(targets):,} deliveries?", len(targets), yes=yes)
        runner.run(_order(connection, targets, Operator(operator_name(by), note)))
        for name, record in targets:
            say(f"ordered: {(record.key or b'').decode()} at {name}")
        say("what comes of it: cel2crm deliveries CALL")


async def _targets(connection: Connection, calls: list[str], crm: str | None) -> list[tuple[str, TopicRecord]]:
    found: dict[str, TopicRecord] = {}
    settings = connection.settings
    for text in calls:
        results = await newest_results(connection, call_ids(text, settings))
        if not results:
            raise UserError(
                f"there is no result of call {text} on {connection.topic(CALL_RESULTS)}",
                "If its rows are in the PBX's table: cel2crm backfill --call LINKEDID.",
            )
        found |= results
    return [(portal.crm, record) for call_id, record in found.items() for portal in receiving(settings, call_id, crm)]


async def _order(connection: Connection, targets: list[tuple[str, TopicRecord]], operator: Operator) -> None:
    with progress_bar("deliveries", len(targets)) as progress:
        await dead_letter_commands.deliver(connection, targets, operator, progress)
