"""Results and commands taken into the partitions that this process owns."""

from collections.abc import Sequence

from aiokafka import ConsumerRecord
from faust.types import TP

from streams.kafka.turn import Turn
from streams.workers.deliver import metrics
from streams.workers.deliver.intake import Intake
from streams.workers.deliver.losses import ResultLosses
from streams.workers.deliver.owned_partitions import OwnedPartitions
from streams.workers.deliver.partition import PartitionDeliveries


async def take_records(
    tp: TP, records: Sequence[ConsumerRecord], owned: OwnedPartitions, intake: Intake, losses: ResultLosses
) -> None:
    """Take the records of one partition, by turns; the rest is dropped where it becomes another owner's meanwhile."""
    turn, results, commands = Turn(), owned.by_results.get(tp), owned.by_commands.get(tp)
    for record in records:
        if results is not None:
            await _take_result(tp, record, results, intake, losses)
        elif commands is not None and record.offset >= commands.commands.position:
            call_id, event = await intake.command(record, commands)
            await commands.take_command(record.offset, call_id, event)
        if turn.is_over:
            await turn.give_way()
        if owned.by_results.get(tp) is not results or owned.by_commands.get(tp) is not commands:
            return


async def _take_result(
    tp: TP, record: ConsumerRecord, partition: PartitionDeliveries, intake: Intake, losses: ResultLosses
) -> None:
    if record.offset < partition.results.position:
        return
    if record.offset > partition.results.position:
        await losses.look_at_hole(tp, partition.results.position, record.offset)
    metrics.RESULTS.labels(intake.crm).inc()
    losses.taken(record.timestamp)
    await partition.take_result(record.offset, await intake.result(record, partition))
