"""How far the aggregate worker has come, by its consumer group's commits.

Before the marker's offset every row is in a result, a dead letter or a checkpoint, each durable before the commit was
(docs/architecture.md, rules 7 and 8). So what is compared with results are the rows before it, and nothing about them
is under way any more.
"""

from collections.abc import Awaitable, Callable, Mapping

from streams.kafka.admin import KafkaAdmin
from streams.kafka.committed import Committed
from streams.settings import Settings
from streams.topics import CEL
from streams.workers.aggregate.marker import Marker

Taken = Callable[[], Awaitable[Mapping[int, int]]]
"""By partition of the `cel` topic: the offset before which the worker has taken all rows for good."""


def taken_by_worker(settings: Settings) -> Taken:
    """Asks the brokers. Raises UserError: no broker."""

    async def ask() -> Mapping[int, int]:
        async with KafkaAdmin(settings.kafka) as admin:
            group = f"{settings.kafka.topic_prefix}.aggregate"
            return taken_offsets(await admin.group_offsets(group, settings.kafka.topic(CEL)))

    return ask


def taken_offsets(committed: Mapping[int, Committed]) -> dict[int, int]:
    """The markers' offsets; where an offset was set by hand, that one."""
    found = {}
    for partition, each in committed.items():
        marker = Marker.decode(each.metadata)
        found[partition] = each.offset if marker is None else min(marker.offset, each.offset)
    return found
