"""Durable records about one CRM's portals: since when each is served, which wants no more.

The records stand on the compacted topic portal-states (delivery/portal_records.py). The protocol:

* Each key has one writer, and writes under a fence: `<crm>/<portal>` (served since) the owner of partition 0 of the
  CRM's delivery log, `<crm>/<portal>/<n>` (disabled) the owner of partition n, each in a transaction of that
  partition's producer. A worker that lost the partition without knowing cannot write. An operator's
  `cel2crm portal enable` may delete the second kind, and nothing rewrites them.
* `take_over` comes after a partition's log was fenced and read, and before anything is delivered from it. The owner of
  partition 0 writes what is missing; the owner of another one waits until that is there. So no call is delivered before
  it is durable since when its portal is served, whichever worker started first.
* A disabled portal is recorded by the worker that was told so, under the fence of a partition that it owns, before it
  goes on: nobody else knows, and a message to somebody else could be late. All workers read the records of all
  partitions when they take a partition over; one that is told later is turned down by the portal itself.
* A worker reads its own records as soon as they are acknowledged. `read_committed` keeps open transactions out.

Records of 0.1 stand in partition 0 of the delivery log. They are kept, for a step back, and read: its owner writes what
they say to portal-states. The earlier `since` counts, and any `disabled`. Each worker knows them before it delivers:
the owner of partition 0 reads them with its log, which may hold millions of records; others read it for them once.
"""

import asyncio
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog
from aiokafka import ConsumerRecord
from msgspec import ValidationError

from schemas import MalformedRecord, Serializer, UnknownSchema, own_headers, written_as
from streams.clock import utc_now_us
from streams.delivery.portal_records import (
    PortalRecords,
    PortalState,
    Service,
    disabled_key,
    disabled_state,
    is_old_key,
    is_settled,
    old_disabled_key,
    service_of,
    serving_key,
    serving_state,
)
from streams.delivery.record import Delivery
from streams.errors import UserError
from streams.kafka.fenced_log import Fenced
from streams.kafka.hard_exit import hard_exit
from streams.kafka.set_aside import UnreadableRecord, place_of
from streams.settings import PortalSettings
from streams.topics import PORTAL_STATES
from streams.workers.deliver.batched_log import SCHEMA
from streams.workers.deliver.state_log import StateLog, holds_calls

POLL_SECONDS = 0.5
_TELL_SECONDS = 30.0
_TRIES = 8
_RETRY_SECONDS = 0.5

_log = structlog.get_logger("deliver")

Records = list[tuple[bytes, PortalState | None]]
"""Keys and states; None: a tombstone."""

Kind = TypeVar("Kind")


class PortalStateStore:
    """The records of one CRM's portals. `start` goes before everything else."""

    def __init__(
        self,
        portals: Sequence[PortalSettings],
        fingerprints: Mapping[str, str],
        serializer: Serializer,
        topic_log: StateLog,
        delivery_log: Callable[[int], StateLog],
        partitions: int,
        set_aside: Container[str] = (),
    ) -> None:
        """`fingerprints`: of each portal's address and secret; `topic_log` reads portal-states; `delivery_log`: a new
        one of each of the delivery log's `partitions`; `set_aside`: the places of records that are passed over."""
        self._crm = portals[0].crm
        self._portals = portals
        self._fingerprints = fingerprints
        self._serializer = serializer
        self._topic_log = topic_log
        self._delivery_log = delivery_log
        self._partitions = partitions
        self._set_aside = set_aside
        self._records = PortalRecords(self._crm)
        self._using_topic = asyncio.Lock()
        """A reading that began before a writing would take back what was written."""
        self._old_known = asyncio.Event()
        """The records of 0.1 were read."""
        self._reading_old = asyncio.Lock()
        self._old_comes = False

    async def start(self) -> None:
        """Read all records, and refuse to begin where some were lost.

        Raises UserError (UnreadableRecord among them), KafkaError or TimeoutError.
        """
        await self._read()
        if any(self._records.stored_serving(portal.name) is None for portal in self._portals):
            await self._read_old()
        for portal in self._portals:
            unknown = self._records.serving(portal.name) is None and not is_settled(portal, None)
            if unknown and await holds_calls(self._logs(), portal.name, self._serializer):
                await self._read()  # another worker may have begun to serve it meanwhile
                if self._records.serving(portal.name) is None:
                    raise self._lost(portal.name)

    def assigned(self, partitions: Collection[int]) -> None:
        """These are taken over next, or none: with partition 0, the records of 0.1 come with its log."""
        self._old_comes = 0 in partitions

    async def take_over(self, partition: int, log: StateLog, old: Sequence[ConsumerRecord] = ()) -> None:
        """Take over the writing that comes with a partition of the delivery log, which was fenced and read before.

        `old`: of partition 0, the records of 0.1 about portals, in order. Returns when it is durable since when each
        portal is served. Ends the process hard where the records cannot be written. Raises UnreadableRecord,
        KafkaError or TimeoutError.
        """
        await self._read()
        if partition != 0:
            await self._until_old_known()
            await self._write(log, self._cleared(partition))
            await self._until_settled()
            return
        self._take_old(old)
        await self._write(log, [*self._cleared(partition), *self._missing()])
        # Only now: until then the records of 0.1 say what is known.
        if stale := self._stale_old():
            await self._commit(log, stale, None)
            for key, _ in stale:
                self._records.take_old(key, None)

    def service(self, portal: PortalSettings) -> Service:
        """Since when a portal is served."""
        return service_of(portal, self._records.serving(portal.name), utc_now_us())

    def disabled(self, portal: PortalSettings) -> str | None:
        """Why a portal is to get nothing; None: it is served. Other settings than those it turned down enable it."""
        fingerprint = self._fingerprints[portal.name]
        known = [state for state in self._records.disabled(portal.name) if state.fingerprint == fingerprint]
        return known[-1].why if known else None

    async def disable(self, portal: PortalSettings, why: str, partition: int, log: StateLog) -> None:
        """Remember that a portal wants no more, so that no restart asks again; durable on return.

        `log`: of a partition of the delivery log that this process owns. Ends the process hard where it no longer does.
        """
        state = disabled_state(self._crm, portal.name, self._fingerprints[portal.name], why, utc_now_us())
        await self._write(log, [(disabled_key(self._crm, portal.name, partition), state)])

    def _missing(self) -> Records:
        """The records that the owner of partition 0 has to write."""
        now = utc_now_us()
        missing: Records = []
        for portal in self._portals:
            name = portal.name
            wanted = serving_state(portal, self._records.serving(name), now)
            if wanted != self._records.stored_serving(name):
                missing.append((serving_key(self._crm, name), wanted))
            old = self._records.old_disabled(name)
            still_disabled = old is not None and old.fingerprint == self._fingerprints[name]
            if old is not None and still_disabled and 0 not in self._records.disabled_by(name):
                missing.append((disabled_key(self._crm, name, 0), old))
        return missing

    def _cleared(self, partition: int) -> Records:
        """Tombstones for portals that are served again, since their address or secret is another one."""
        cleared: Records = []
        for portal in self._portals:
            known = self._records.disabled_by(portal.name).get(partition)
            if known is not None and known.fingerprint != self._fingerprints[portal.name]:
                _log.info("portal is served again: its address or secret is another one", portal=portal.name)
                cleared.append((disabled_key(self._crm, portal.name, partition), None))
        return cleared

    def _stale_old(self) -> list[tuple[bytes, None]]:
        """Tombstones for the records of 0.1 that other addresses or secrets than today's were turned down."""
        stale: list[tuple[bytes, None]] = []
        for portal in self._portals:
            old = self._records.old_disabled(portal.name)
            if old is not None and old.fingerprint != self._fingerprints[portal.name]:
                stale.append((old_disabled_key(portal.name), None))
        return stale

    async def _until_settled(self) -> None:
        waited = 0.0
        serving = self._records.serving
        while unsettled := [each.name for each in self._portals if not is_settled(each, serving(each.name))]:
            if waited % _TELL_SECONDS == 0:
                _log.warning(
                    "waiting for the owner of partition 0 to record since when portals are served",
                    portals=unsettled,
                    remedy="all workers of a CRM need the same version and the same portals: restart the others",
                )
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            await self._read()

    async def _until_old_known(self) -> None:
        if self._old_comes:
            await self._old_known.wait()  # where partition 0 cannot be taken over, this is cancelled with it
        async with self._reading_old:
            if not self._old_known.is_set():
                await self._read_old()

    async def _read_old(self) -> None:
        """Look for the records of 0.1 in partition 0 of the delivery log."""
        old: list[ConsumerRecord] = []
        await self._delivery_log(0).scan(lambda record: old.append(record) if is_old_key(record.key) else None)
        self._take_old(old)

    async def _read(self) -> None:
        """Read portal-states to its end."""
        async with self._using_topic:
            records: list[ConsumerRecord] = []
            await self._topic_log.scan(records.append)
            self._records.forget_new()
            for record in records:
                if place_of(record) not in self._set_aside:
                    self._records.take(record.key, self._decoded(record, PORTAL_STATES.schema, PortalState.from_record))

    def _decoded(self, record: ConsumerRecord, schema: str, convert: Callable[[dict[str, Any]], Kind]) -> Kind | None:
        """The record, None for a tombstone. Raises UnreadableRecord."""
        if record.value is None:
            return None
        try:
            return convert(self._serializer.decode_own(record.value, schema, written_as(record.headers)))
        except (MalformedRecord, UnknownSchema, ValidationError) as error:
            raise UnreadableRecord(
                place_of(record),
                f"since when a portal is served, or that it wants no more ({record.key.decode(errors='replace')!r})",
                error,
                "it then knows of that portal only what earlier records say. Set portals[].deliver_from before.",
            ) from None

    async def _write(self, log: StateLog, records: Records) -> None:
        """Write records to portal-states under the fence of a delivery log, and take them up."""
        if not records:
            return
        async with self._using_topic:
            encode = partial(self._serializer.encode, PORTAL_STATES.schema)
            values = [(key, None if state is None else encode(state.record())) for key, state in records]
            await self._commit(log, values, (self._topic_log.topic, 0))
            for key, state in records:
                self._records.take(key, state)

    async def _commit(
        self, log: StateLog, records: Sequence[tuple[bytes, bytes | None]], to: tuple[str, int] | None
    ) -> None:
        headers = own_headers(PORTAL_STATES.schema)  # tombstones get none
        for attempt in range(_TRIES):
            try:
                if await log.write(records, to=to, headers=headers) is not None:
                    return
            except Fenced as error:
                hard_exit(f"another process owns {log.topic}/{log.partition} now", error)
            await asyncio.sleep(_RETRY_SECONDS * 2**attempt)
        hard_exit(f"portal states cannot be written: {_TRIES} transactions in a row failed")

    def _take_old(self, records: Sequence[ConsumerRecord]) -> None:
        """Take the records of 0.1, all of them, in order, in place of those that were known."""
        known = [record for record in records if place_of(record) not in self._set_aside]
        self._records.replace_old({each.key: self._decoded(each, SCHEMA, Delivery.from_record) for each in known})
        self._old_known.set()

    def _logs(self) -> Iterator[StateLog]:
        return (self._delivery_log(partition) for partition in range(self._partitions))

    def _lost(self, portal: str) -> UserError:
        topic, log = self._topic_log.topic, self._delivery_log(0).topic
        return UserError(
            f"{topic} does not say since when portal {portal} is served, though {log} holds calls of it: the record "
            "was lost, and whether the portal wants no more calls is not known either",
            f"Restore {topic}; or set portals.{portal}.deliver_from, the end of the last call that must not come now "
            "(cel2crm deliveries shows what was delivered): with it the worker starts, and records it anew.",
        )
