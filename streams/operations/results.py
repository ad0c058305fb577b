"""The newest results of calls, from their topic, and the portals that get them."""

from collections.abc import Iterable

from schemas import MalformedRecord
from streams.calls.call import epoch_of
from streams.delivery.routing import portal_of
from streams.errors import UserError
from streams.kafka.topic_client import TopicRecord, partition_of
from streams.operations.connection import Connection
from streams.settings import PortalSettings, Settings
from streams.topics import CALL_RESULTS

_EARLIER_MS = 24 * 3_600_000
"""A result is written after its call began; the clocks of PBX and broker may be this far apart."""


async def newest_results(connection: Connection, call_ids: Iterable[str]) -> dict[str, TopicRecord]:
    """The record of each call's highest (version, correction); calls without one are left out. Raises UserError."""
    topic = connection.topic(CALL_RESULTS)
    total = await connection.topics.partitions(topic)
    wanted = {call_id.encode() for call_id in call_ids}
    partitions = {partition_of(key, total) for key in wanted}
    newest: dict[str, tuple[tuple[int, int], TopicRecord]] = {}
    async for record in connection.topics.read(topic, partitions, since_ms=_since(wanted)):
        if record.key not in wanted:
            continue
        try:
            fields = await connection.read(record, CALL_RESULTS.schema)
        except MalformedRecord:
            continue
        order = fields["version"], fields["correction"]
        if order >= newest.get(fields["call_id"], ((0, 0), record))[0]:
            newest[fields["call_id"]] = (order, record)
    return {call_id: record for call_id, (_, record) in newest.items()}


def _since(keys: Iterable[bytes]) -> int | None:
    epochs = [epoch_of(key.decode().partition("/")[2]) for key in keys]
    known = [epoch for epoch in epochs if epoch is not None]
    return max(0, min(known) * 1000 - _EARLIER_MS) if known and len(known) == len(epochs) else None


def receiving(settings: Settings, call_id: str, crm: str | None = None) -> list[PortalSettings]:
    """The portals that get a call: one of each CRM. Raises UserError where there is none, or one is a shadow."""
    pbx = call_id.partition("/")[0]
    crms = dict.fromkeys(portal.crm for portal in settings.portals if crm in (None, portal.crm))
    found = [portal for each in crms if (portal := portal_of(settings.portals_of(each), pbx)) is not None]
    if not found:
        raise UserError(
            f"no portal gets the calls of PBX {pbx}" + (f" at {crm}" if crm else ""), "See portals: in the settings."
        )
    for portal in found:
        if portal.shadow:
            raise UserError(
                f"portal {portal.name} is a shadow: nothing is sent to it",
                "Set shadow: false for it first, or name another CRM with --crm.",
            )
    return found
