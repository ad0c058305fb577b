"""What the delivery log's first partition says of portals themselves: since when each is served, which wants no more.

Written beside the transactions of who owns that partition: a record of a portal is never one of a call.
"""

from collections.abc import Callable

import structlog
from aiokafka import ConsumerRecord

from schemas import Serializer
from streams.clock import utc_now_us
from streams.delivery.portal_records import SERVING, key_of, record_of, served_since
from streams.delivery.record import Delivery, State
from streams.kafka.fenced_log import FencedLog
from streams.kafka.producer import IdempotentProducer
from streams.settings import PortalSettings
from streams.workers.deliver.batched_log import SCHEMA

_DISABLED = "disabled:"


def disabled_key(portal: str) -> bytes:
    """Of the record that a portal wants no more."""
    return (_DISABLED + portal).encode()


_log = structlog.get_logger("deliver")


class PortalStateStore:
    """The records of one CRM's portals. `read` goes before everything else."""

    def __init__(
        self,
        crm: str,
        topic: str,
        outbox: IdempotentProducer,
        serializer: Serializer,
        first_partition: Callable[[], FencedLog],
    ) -> None:
        self._crm = crm
        self._topic = topic
        self._outbox = outbox
        self._serializer = serializer
        self._first_partition = first_partition
        self._records: dict[str, Delivery] = {}

    async def read(self) -> None:
        """Take up what stands there. Raises KafkaError or TimeoutError."""
        values: dict[str, bytes | None] = {}

        def take(record: ConsumerRecord) -> None:
            if record.key.startswith((SERVING.encode(), _DISABLED.encode())):
                values[record.key.decode()] = record.value

        await self._first_partition().scan(take)
        self._records = {
            key: Delivery.from_record(self._serializer.decode(value, SCHEMA))
            for key, value in values.items()
            if value is not None
        }

    async def served_since(self, portal: PortalSettings) -> int:
        """UTC microseconds: calls that ended before are skipped."""
        key = key_of(portal)
        if (record := record_of(portal, self._records.get(key), utc_now_us())) is not None:
            await self._write(record)
            # Read back: another worker may have been first, or last; either way all keep the same time.
            await self.read()
        return served_since(portal, self._records.get(key), utc_now_us())

    async def disabled(self, portal: str, fingerprint: str) -> str | None:
        """Why a portal is to get nothing; None: it is served. Other settings than those it turned down enable it."""
        known = self._records.get(_DISABLED + portal)
        if known is None:
            return None
        if known.sent == fingerprint:
            return known.reason or "it wants no more calls"
        _log.info("portal is served again: its address or secret is another one", portal=portal)
        await self._send(_DISABLED + portal, None)
        return None

    async def disable(self, portal: str, fingerprint: str, why: str) -> None:
        """Remember that a portal wants no more, so that no restart asks again; durable on return."""
        now = utc_now_us()
        await self._write(
            Delivery(
                call_id=_DISABLED + portal,
                crm=self._crm,
                portal=portal,
                state=State.DISABLED,
                reason=why,
                queued_at=now,
                updated_at=now,
                sent=fingerprint,
            )
        )

    async def _write(self, record: Delivery) -> None:
        await self._send(record.call_id, self._serializer.encode(SCHEMA, record.record()))

    async def _send(self, key: str, value: bytes | None) -> None:
        await (await self._outbox.send(self._topic, key.encode(), value, partition=0))
