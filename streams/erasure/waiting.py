"""Whether the owners of delivery logs have carried out what they were ordered: their logs read on, until they have."""

from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from schemas import MalformedRecord
from streams.delivery.erasure import is_erased
from streams.delivery.record import Delivery
from streams.operations.connection import Connection
from streams.topics import deliveries

Pause = Callable[[], AsyncIterator[None]]
"""Gives turns, for as long as is waited."""


async def ends_of(connection: Connection, wanted: set[tuple[str, str]]) -> dict[str, dict[int, int]]:
    """By CRM, where its log ends now: before commands are sent. Raises UserError: no broker."""
    crms = {crm for crm, _ in wanted}
    return {crm: await connection.topics.ends(connection.topic(deliveries(crm))) for crm in crms}


async def until_erased(
    connection: Connection, wanted: set[tuple[str, str]], since: Mapping[str, dict[int, int]], pause: Pause
) -> set[tuple[str, str]]:
    """The deliveries, by CRM and call, that are not erased when turns are over. Raises UserError: no broker."""
    left, read_to = set(wanted), {crm: dict(ends) for crm, ends in since.items()}
    if not left:
        return left
    async for _ in pause():
        for crm in sorted({crm for crm, _ in left}):
            async for record in connection.topics.read(connection.topic(deliveries(crm)), start=read_to[crm]):
                read_to[crm][record.partition] = record.offset + 1
                key = crm, (record.key or b"").decode("utf-8", "replace")
                if key not in wanted:
                    continue
                try:
                    erased = record.value is None or is_erased(
                        Delivery.from_record(await connection.read(record, "delivery"))
                    )
                except (MalformedRecord, msgspec.ValidationError):
                    continue
                (left.discard if erased else left.add)(key)
        if not left:
            break
    return left
