"""Portals' own records, read; and a portal that wanted no more calls, to be asked again."""

import msgspec

from schemas import MalformedRecord
from streams.delivery.portal_records import (
    PortalRecords,
    PortalState,
    disabled_key,
    is_old_key,
    old_disabled_key,
)
from streams.delivery.record import Delivery
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.operations.connection import Connection
from streams.settings import PortalSettings
from streams.topics import PORTAL_STATES, deliveries


async def enable(connection: Connection, portal: PortalSettings) -> str | None:
    """Forget that a portal wants no more calls: why it does; None: it is not disabled. Workers look at their start.

    The records are deleted, and a running worker writes them anew only where the portal says so again. Raises
    UserError: no broker, no topic.
    """
    records = await portal_records_of(connection, portal.crm)
    await _take_old(connection, portal.crm, records)
    known = records.disabled(portal.name)
    if not known:
        return None
    topic = connection.topic(PORTAL_STATES)
    deleted = [
        Outgoing(topic, disabled_key(portal.crm, portal.name, partition), None, partition=0)
        for partition in records.disabled_by(portal.name)
    ]
    if records.old_disabled(portal.name) is not None:
        log = connection.topic(deliveries(portal.crm))
        deleted.append(Outgoing(log, old_disabled_key(portal.name), None, partition=0))
    await connection.topics.send(deleted)
    return known[-1].why


async def portal_records_of(connection: Connection, crm: str) -> PortalRecords:
    """The records of a CRM's portals on portal-states, without those of 0.1. Raises UserError: no broker, no topic."""
    records = PortalRecords(crm)
    async for record in connection.topics.read(connection.topic(PORTAL_STATES), [0]):
        state: PortalState | None = None
        if record.value is not None:
            try:
                state = PortalState.from_record(await connection.read(record, PORTAL_STATES.schema))
            except (MalformedRecord, msgspec.ValidationError):
                continue
        records.take(record.key or b"", state)
    return records


async def take_old(connection: Connection, record: TopicRecord, records: PortalRecords) -> None:
    """Take a record of the first partition of a delivery log, where 0.1 kept what is known of portals."""
    key = record.key or b""
    if record.partition != 0 or not is_old_key(key):
        return
    delivery: Delivery | None = None
    if record.value is not None:
        try:
            delivery = Delivery.from_record(await connection.read(record, "delivery"))
        except (MalformedRecord, msgspec.ValidationError):
            return
    records.take_old(key, delivery)


async def _take_old(connection: Connection, crm: str, records: PortalRecords) -> None:
    async for record in connection.topics.read(connection.topic(deliveries(crm)), [0]):
        await take_old(connection, record, records)
