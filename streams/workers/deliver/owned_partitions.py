"""The partitions that the group gave to this process, by their topics."""

from collections.abc import Mapping

from faust.types import TP

from streams.workers.deliver.partition import PartitionDeliveries
from streams.workers.deliver.progress import OffsetTracker


class OwnedPartitions:
    """The partitions that the group gave to this process."""

    def __init__(self) -> None:
        self.by_results: dict[TP, PartitionDeliveries] = {}
        """By their partition of call-results."""
        self.by_commands: dict[TP, PartitionDeliveries] = {}
        """By their partition of delivery-commands."""

    def replace(
        self, by_results: Mapping[TP, PartitionDeliveries], by_commands: Mapping[TP, PartitionDeliveries]
    ) -> None:
        """Own these partitions, and no others."""
        self.by_results.clear()
        self.by_results.update(by_results)
        self.by_commands.clear()
        self.by_commands.update(by_commands)

    def trackers(self) -> dict[TP, OffsetTracker]:
        """The offsets of results and of commands."""
        results = {tp: partition.results for tp, partition in self.by_results.items()}
        return results | {tp: partition.commands for tp, partition in self.by_commands.items()}

    @property
    def open_calls(self) -> int:
        """The number of calls that are not delivered, skipped or given up."""
        return sum(partition.open_calls for partition in self.by_results.values())

    @property
    def followed_calls(self) -> int:
        """The number of calls in the CRM that something is still to follow."""
        return sum(partition.followed_calls for partition in self.by_results.values())
