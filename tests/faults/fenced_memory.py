"""A partition of the delivery log without a broker: whoever fenced it last may write."""

from collections.abc import Sequence

from streams.workers.fenced_log import Fenced


class PartitionLog:
    """What is committed, in order of the fencing."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.epoch = 0
        self.failing = 0
        """So many of the next transactions fail: none of their records is there."""

    def fence(self) -> "Writer":
        """A writer; every earlier one's transactions fail from now on."""
        self.epoch += 1
        return Writer(self, self.epoch)


class Writer:
    """See streams.workers.deliver_log.Log."""

    def __init__(self, log: PartitionLog, epoch: int) -> None:
        self._log = log
        self._epoch = epoch

    def read(self) -> dict[bytes, bytes]:
        """The last value of every key."""
        return dict(self._log.values)

    @property
    def fenced(self) -> bool:
        """Another writer came after."""
        return self._epoch != self._log.epoch

    async def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> bool:
        """One transaction. Raises Fenced."""
        if self.fenced:
            raise Fenced(f"epoch {self._epoch}")
        if self._log.failing:
            self._log.failing -= 1
            return False
        for key, value in records:
            if value is None:
                self._log.values.pop(key, None)
            else:
                self._log.values[key] = value
        return True

    async def close(self) -> None:
        """Nothing to close."""
