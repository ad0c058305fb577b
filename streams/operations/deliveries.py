"""The delivery logs as an operator looks at them: one call's history, and how many deliveries are in which state."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas import MalformedRecord, UnknownSchema, written_as
from streams import topics
from streams.delivery.record import AWAITS_CHANGE, IN_CRM, OF_PORTALS, Delivery, State
from streams.kafka.topic_client import TopicRecord, partition_of
from streams.operations.connection import Connection, crm_names
from streams.operations.portal_states import portal_records_of, take_old
from streams.settings import Settings


def crms_of(settings: Settings, crm: str | None = None) -> tuple[str, ...]:
    """The CRM that is asked for; else the CRMs of the settings' portals; else all."""
    if crm is not None:
        return (crm,)
    return tuple(dict.fromkeys(portal.crm for portal in settings.portals if portal.crm in crm_names())) or crm_names()


async def history_of(connection: Connection, call_id: str, crms: Iterable[str]) -> list[Delivery]:
    """The deliveries of a call, one of each CRM whose log knows it. Raises UserError."""
    found = []
    key = call_id.encode()
    for crm in crms:
        topic = connection.topic(topics.deliveries(crm))
        partition = partition_of(key, await connection.topics.partitions(topic))
        last: TopicRecord | None = None
        async for record in connection.topics.read(topic, [partition]):
            if record.key == key:
                last = record
        if last is not None and last.value is not None:
            found.append(Delivery.from_record(await connection.read(last, "delivery")))
    return found


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """The fields of a delivery that are counted."""

    portal: str
    state: State
    queued_at: int
    reason: str | None
    delivered_at: int | None
    follow_ups: tuple[tuple[str, State], ...] = ()
    """Kinds and states; of a call that is in the CRM."""

    @property
    def awaits_change(self) -> bool:
        """Whether it waits for a change in the CRM, which is nothing that the portal or the product is slow at."""
        return self.state is State.WAITING and (self.reason or "").startswith(AWAITS_CHANGE)


@dataclass(slots=True)
class Overview:
    """One CRM's deliveries."""

    crm: str
    counts: Counter[tuple[str, State]] = field(default_factory=Counter)
    """By portal and state."""
    follow_ups: Counter[tuple[str, str, State]] = field(default_factory=Counter)
    """By portal, kind and state: what follows the calls that are in the CRM."""
    oldest: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By portal, the call that has been waiting longest, and since when (UTC microseconds). Not one that waits for a
    change in the CRM."""
    oldest_reason: dict[str, str] = field(default_factory=dict)
    """By portal, why that call waits; left out where it says nothing."""
    last_delivered: dict[str, int] = field(default_factory=dict)
    """By portal, when it took a call last (UTC microseconds)."""
    paused: dict[str, str] = field(default_factory=dict)
    """Portals whose calls wait for a person, and why; those that are disabled too."""
    disabled: dict[str, str] = field(default_factory=dict)
    """Portals that want no more calls, and why."""
    unreadable_at: tuple[str, ...] = ()
    """Places of records that cannot be read, and that no later record of the same call replaces."""

    @property
    def unreadable(self) -> int:
        """Their number."""
        return len(self.unreadable_at)


THOROUGH_RECORDS = 50_000
"""A log of up to so many records is read in seconds, whole."""


async def overview_of(connection: Connection, crm: str, *, thorough: bool = True) -> Overview:
    """Count one CRM's log; memory follows the number of calls in it, not their size. Raises UserError.

    `thorough` False: of a long log only what is counted is read of each record, in half the time; damage further back
    in a record is not seen then.
    """
    topic = connection.topic(topics.deliveries(crm))
    thorough = thorough or sum((await connection.topics.ends(topic)).values()) <= THOROUGH_RECORDS
    deliveries: dict[bytes, DeliveryCounts] = {}
    unreadable: dict[bytes, str] = {}
    overview = Overview(crm)
    of_portals = await portal_records_of(connection, crm)
    async for record in connection.topics.read(topic):
        await take_old(connection, record, of_portals)
        key = record.key or b""
        unreadable.pop(key, None)
        if record.value is None:
            deliveries.pop(key, None)
        elif (delivery := await _counts(connection, record, thorough=thorough)) is not None:
            deliveries[key] = delivery
        else:
            unreadable[key] = record.place
    for key, delivery in deliveries.items():
        if delivery.state not in OF_PORTALS:
            _count(overview, key.decode("utf-8", "replace"), delivery)
    overview.disabled = of_portals.disabled_portals
    overview.paused |= overview.disabled
    overview.unreadable_at = tuple(unreadable.values())
    return overview


async def _counts(connection: Connection, record: TopicRecord, *, thorough: bool) -> DeliveryCounts | None:
    try:
        fields = await connection.read(record, "delivery") if thorough else await _first_fields(connection, record)
        state = State(fields["state"])
        follow_ups = tuple((each["kind"], State(each["state"])) for each in fields.get("follow_ups", ()))
        return DeliveryCounts(
            fields["portal"],
            state,
            fields["queued_at"],
            fields["reason"],
            fields["delivered_at"],
            follow_ups if state in IN_CRM else (),
        )
    except (MalformedRecord, msgspec.ValidationError, ValueError):
        return None


async def _first_fields(connection: Connection, record: TopicRecord) -> dict[str, Any]:
    try:
        header = written_as(record.headers)
        return connection.serializer.decode_own_first(record.value, "delivery", header, "delivered_at")
    except UnknownSchema:
        return await connection.read(record, "delivery")


def _count(overview: Overview, call_id: str, delivery: DeliveryCounts) -> None:
    portal, state = delivery.portal, delivery.state
    overview.counts[portal, state] += 1
    overview.follow_ups.update((portal, kind, its) for kind, its in delivery.follow_ups)
    if state is State.PAUSED:
        overview.paused[portal] = delivery.reason or ""
    if delivery.delivered_at:
        overview.last_delivered[portal] = max(delivery.delivered_at, overview.last_delivered.get(portal, 0))
    if delivery.awaits_change:
        return
    if state in WAITING and delivery.queued_at < overview.oldest.get(portal, ("", 1 << 62))[1]:
        overview.oldest[portal] = (call_id, delivery.queued_at)
        overview.oldest_reason.pop(portal, None)
        if delivery.reason:
            overview.oldest_reason[portal] = delivery.reason


WAITING = frozenset(
    {State.NEW, State.INTENT, State.REGISTERED, State.UNSURE, State.LOOKED_UP, State.WAITING, State.PAUSED}
)
"""States of deliveries that are not over."""
