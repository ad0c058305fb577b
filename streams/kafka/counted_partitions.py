"""Partitions that a worker is given, none beyond those that were chosen (partition_counts.py)."""

from collections.abc import Iterable, Mapping

from faust.types import TP

from streams.kafka.faust_overrides import Owner
from streams.kafka.partition_counts import changed, chosen_counts
from streams.settings import KafkaSettings


class CountedPartitions:
    """An owner of partitions (faust_overrides.Owner) that is given none beyond those that were chosen."""

    def __init__(self, owner: Owner, kafka: KafkaSettings, names: Iterable[str]) -> None:
        self._owner = owner
        self._chosen = chosen_counts(kafka, names)

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """Raises UserError where one is beyond them."""
        least = dict[str, int]()
        for tp in partitions:
            least[tp.topic] = max(least.get(tp.topic, self._chosen.get(tp.topic, 0)), tp.partition + 1)
        if (error := changed(self._chosen, least)) is not None:
            raise error
        return await self._owner.assigned(partitions)

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        await self._owner.revoked()

    def positions(self) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        return self._owner.positions()
