"""Rows of a partition that do not come: expired ones are told, those that were passed over end the process."""

from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP

from streams.kafka.bounded_reader import BoundedReader, ExpiredRecords
from streams.kafka.faust_overrides import Consumer
from streams.kafka.hard_exit import hard_exit
from streams.kafka.lost_records import EXPIRED, LossReporter, Lost, wall_clock
from streams.settings import Settings
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.partition_state import PartitionState


class Holes:
    """Looks at offsets between the next row and the one that comes. `reader`: with uncommitted records."""

    def __init__(self, settings: Settings, group: Consumer, reader: BoundedReader, losses: LossReporter) -> None:
        self._settings = settings
        self._group = group
        self._reader = reader
        self._losses = losses

    async def look_into(self, assigned: AssignedPartition, record: ConsumerRecord) -> None:
        """Look at why a partition goes on with a record beyond the next row: expired rows, or ends of transactions.

        Rows that are there, and were passed over, end the process hard: its next owner takes them.
        """
        tp, partition = assigned.tp, assigned.partition
        first, _ = await self._group.bounds(tp)
        gone = min(first, record.offset)
        if gone > partition.position:
            newest = max(partition.times.values(), default=None)
            await self.report(partition, Lost(tp, partition.position, gone, EXPIRED, newest))
            partition.lose(gone)
        hole = range(partition.position, record.offset)
        if not hole:
            return
        if len(hole) > 1 or not assigned.in_transactions:
            if not await self._holds_no_row(tp, hole):
                await self.look_into(assigned, record)  # retention has come between
                return
            assigned.in_transactions = True
        partition.skip(hole[-1])

    async def report(self, partition: PartitionState, lost: Lost) -> None:
        """Tell of rows that are lost, with the backfill that heals them."""
        since = [
            partition.first_row_of_open_calls(pbx) or wall_clock(self._settings, lost.since_ms, pbx)
            for pbx in self._settings.pbx_names
        ]
        await self._losses.report(lost, min(since))

    async def _holds_no_row(self, tp: TP, hole: range) -> bool:
        """Make sure that no row stands at these offsets. False: retention has just removed some of them."""
        asked, expired = TopicPartition(tp.topic, tp.partition), list[ExpiredRecords]()
        reading = self._reader.read(
            [asked], starts={asked: hole.start}, ends={asked: hole.stop}, on_expired=expired.append
        )
        async for records in reading:
            hard_exit(f"the rows of {tp.topic}/{tp.partition} from {records[0].offset} on were passed over")
        return not expired
