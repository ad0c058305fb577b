"""A partition's delivery log, read once when the partition is taken over."""

from aiokafka import ConsumerRecord

from streams.delivery.portal_records import is_old_key
from streams.errors import UserError
from streams.kafka.fenced_log import FencedLog
from streams.kafka.set_aside import SetAsideRecords
from streams.kafka.topic_client import partition_of
from streams.topics import PARTITIONS_PAGE
from streams.workers.deliver.batched_log import log_headers
from streams.workers.deliver.partition import PartitionDeliveries

_KEYS_LOOKED_AT = 50
"""Of keys that were shared out by another number, one in so many is on another partition for certain."""


async def read_log(
    log: FencedLog, partition: PartitionDeliveries, set_aside: SetAsideRecords, partitions: int
) -> list[ConsumerRecord]:
    """Give every record to the partition; those of portals, which 0.1 wrote into partition 0, are returned.

    Raises UserError where calls stand there that belong elsewhere by this number of partitions: it was another one when
    they were written. KafkaError, OSError or TimeoutError.
    """
    of_portals: list[ConsumerRecord] = []
    looked_at = 0

    def take(record: ConsumerRecord) -> None:
        nonlocal looked_at
        if set_aside.holds(record):
            return
        partition.read(record.key, record.value, record.offset, *log_headers(record.headers))
        if is_old_key(record.key):
            if log.partition == 0:
                of_portals.append(record)
        elif looked_at < _KEYS_LOOKED_AT:
            looked_at += 1
            _require_own(record, partitions)

    await log.scan(take)
    return of_portals


def _require_own(record: ConsumerRecord, partitions: int) -> None:
    if (belongs := partition_of(record.key, partitions)) != record.partition:
        raise UserError(
            f"{record.topic}/{record.partition}/{record.offset}: by kafka.partitions ({partitions}) this call belongs "
            f"to partition {belongs}: it was another number when the record was written, and delivered calls would be "
            "entered a second time",
            f"Set kafka.partitions back. Where the topics were given partitions: {PARTITIONS_PAGE}",
        )
