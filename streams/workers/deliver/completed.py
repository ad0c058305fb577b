"""An index of a partition's completed deliveries: per call its version, time of the last change, and place in the log.

The whole state stands in the log and is read again from there when a later version of the result or an operator's
command needs it. So memory grows with the number of remembered calls, about 200 bytes each, not with their states.
"""

from functools import partial
from struct import Struct

from msgspec import ValidationError

from schemas import MalformedRecord, Serializer, UnknownSchema
from streams.clock import UtcMicros
from streams.delivery.record import Delivery
from streams.delivery.stored_result import delivery_in
from streams.kafka.set_aside import unreadable_delivery
from streams.workers.deliver.batched_log import SCHEMA, Log, Written

_DIGEST = Struct("<qqqq")
"""Version, correction, time of the last change, offset of the record in the log."""


class LostDelivery(LookupError):
    """The record of a remembered delivery is not in the log any more."""


class CompletedIndex:
    """Completed deliveries by call id, in the order in which they ended."""

    def __init__(self, log: Log, serializer: Serializer, name: str) -> None:
        """`name`: of the log, `<topic>/<partition>`."""
        self._name = name
        self._log = log
        self._serializer = serializer
        self._digests: dict[str, bytes] = {}
        self._unwritten: dict[str, Delivery] = {}
        """Deliveries whose last record is not durable yet."""

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._digests or call_id in self._unwritten

    def __len__(self) -> int:
        return len(self._digests) + len(self._unwritten)

    def add(self, delivery: Delivery, written: Written) -> None:
        """Remember a delivery that is over; `written`: the future of its last record."""
        self._digests.pop(delivery.call_id, None)
        self._unwritten[delivery.call_id] = delivery
        written.add_done_callback(partial(self._logged, delivery))

    def add_logged(self, call_id: str, order: tuple[int, int], updated_at: UtcMicros, offset: int) -> None:
        """Remember a delivery whose last record stands in the log at an offset. `order`: Delivery.order."""
        self._digests.pop(call_id, None)
        self._digests[call_id] = _DIGEST.pack(*order, updated_at, offset)

    def remove(self, call_id: str) -> None:
        """Drop a call from the index: its delivery goes on, or was forgotten."""
        self._unwritten.pop(call_id, None)
        self._digests.pop(call_id, None)

    def ended_with(self, call_id: str, order: tuple[int, int]) -> bool:
        """Whether the call's delivery ended with this version and correction of the result, or with later ones."""
        if (digest := self._digests.get(call_id)) is not None:
            return _DIGEST.unpack(digest)[:2] >= order
        delivery = self._unwritten.get(call_id)
        return delivery is not None and delivery.order >= order

    def revision_token(self, call_id: str) -> object:
        """An object that is another one after every change of the call's delivery; None: it is not in the index."""
        return self._unwritten.get(call_id) or self._digests.get(call_id)

    async def load(self, call_id: str) -> Delivery | None:
        """The whole state of a call's delivery; None: it is not in the index.

        Raises LostDelivery, UnreadableRecord, KafkaError or TimeoutError.
        """
        if (delivery := self._unwritten.get(call_id)) is not None:
            return delivery
        if (digest := self._digests.get(call_id)) is None:
            return None
        offset = _DIGEST.unpack(digest)[3]
        found = await self._log.read_at(offset)
        if found is None or found.key != call_id.encode():
            raise LostDelivery(f"the delivery of call {call_id} is not in the log at offset {offset}")
        try:
            decode = self._serializer.decode_own
            return delivery_in(decode(found.value, SCHEMA, found.schema_header), decode)
        except (MalformedRecord, UnknownSchema, ValidationError) as error:
            raise unreadable_delivery(f"{self._name}/{offset}", call_id, error) from None

    def forget(self, before: UtcMicros) -> list[str]:
        """Drop the deliveries that ended before a time; the calls that were dropped."""
        old = []
        for call_id, digest in self._digests.items():
            if _DIGEST.unpack(digest)[2] >= before:
                break  # those behind it ended later
            old.append(call_id)
        for call_id in old:
            del self._digests[call_id]
        return old

    def _logged(self, delivery: Delivery, written: Written) -> None:
        if self._unwritten.get(delivery.call_id) is delivery and not written.cancelled():
            del self._unwritten[delivery.call_id]
            offset = written.result()[delivery.call_id.encode()]
            self.add_logged(delivery.call_id, delivery.order, delivery.updated_at, offset)
