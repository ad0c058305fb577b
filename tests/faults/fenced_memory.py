"""A partition of the delivery log without a broker: whoever fenced it last may write."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from schemas import written_as
from streams.kafka.fenced_log import Fenced, Headers, StoredRecord
from streams.workers.deliver.batched_log import log_headers


class PartitionLog:
    """The committed records; only the writer that fenced last may add some."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.schema_header: bytes | None = None
        """The header of every record: that of the last one written."""
        self.digests: dict[tuple[bytes, bytes | None], bytes | None] = {}
        """By key and value, as copies of a record keep it."""
        self.epoch = 0
        self.failing = 0
        """The number of next transactions that fail: none of their records is there."""

    @property
    def values(self) -> dict[bytes, bytes]:
        """The last value of every key."""
        return {key: value for key, value in dict(self.records).items() if value is not None}

    def fence(self) -> "Writer":
        """A writer; every earlier one's transactions fail from now on."""
        self.epoch += 1
        return Writer(self, self.epoch)


class Writer:
    """See streams.workers.deliver.batched_log.Log."""

    def __init__(self, log: PartitionLog, epoch: int) -> None:
        self._log = log
        self._epoch = epoch

    def scan(self, take: Callable[[bytes, bytes | None, int, bytes | None, bytes | None], None]) -> None:
        """Give every record to `take`: key, value, offset, schema header, digest."""
        for offset, (key, value) in enumerate(self._log.records):
            take(key, value, offset, self._log.schema_header, self._log.digests.get((key, value)))

    async def read_at(self, offset: int) -> StoredRecord | None:
        """The record at an offset."""
        key, value = self._log.records[offset]
        return None if value is None else StoredRecord(key, value, self._log.schema_header)

    @property
    def fenced(self) -> bool:
        """Whether another writer came after."""
        return self._epoch != self._log.epoch

    async def write(
        self,
        records: Sequence[tuple[bytes, bytes | None]],
        *,
        headers: Headers = (),
        headers_by_key: Mapping[bytes, Headers] = MappingProxyType({}),
    ) -> Sequence[int] | None:
        """One transaction. Raises Fenced."""
        if self.fenced:
            raise Fenced(f"epoch {self._epoch}")
        if self._log.failing:
            self._log.failing -= 1
            return None
        first = len(self._log.records)
        self._log.records += records
        self._log.schema_header = written_as(headers)
        self._log.digests |= {(key, value): log_headers(headers_by_key.get(key, ()))[1] for key, value in records}
        return range(first, len(self._log.records))

    async def close(self) -> None:
        """Nothing to close."""
