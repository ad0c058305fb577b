"""A portal that wanted no more calls, and may be asked again."""

from streams.delivery.record import Delivery
from streams.kafka.topic_client import Outgoing
from streams.operations.connection import Connection
from streams.settings import PortalSettings
from streams.topics import deliveries
from streams.workers.deliver.portal_state import disabled_key


async def enable(connection: Connection, portal: PortalSettings) -> str | None:
    """Forget that a portal wanted no more: why it was; None: it was not. Its worker looks at its next start.

    Raises UserError.
    """
    topic, key = connection.topic(deliveries(portal.crm)), disabled_key(portal.name)
    value: bytes | None = None
    async for record in connection.topics.read(topic, [0]):
        if record.key == key:
            value = record.value
    if value is None:
        return None
    known = Delivery.from_record(await connection.serializer.read(value, "delivery"))
    await connection.topics.send([Outgoing(topic, key, None, partition=0)])
    return known.reason or "it wanted no more calls"
