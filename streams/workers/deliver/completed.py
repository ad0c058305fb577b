"""An index of a partition's completed deliveries: per call its version, time of the last change, and place in the log.

The whole state stands in the log and is read again from there when a later version of the result or an operator's
command needs it. So memory grows with the number of remembered calls, about 80 bytes each, not with their states.
"""

from functools import partial

from msgspec import ValidationError

from schemas import MalformedRecord, Serializer, UnknownSchema
from streams.clock import UtcMicros
from streams.delivery.record import Delivery
from streams.delivery.stored_result import delivery_in
from streams.kafka.set_aside import unreadable_delivery
from streams.workers.deliver.batched_log import SCHEMA, Log, Written
from streams.workers.deliver.finished_calls import FinishedCalls


class LostDelivery(LookupError):
    """The record of a remembered delivery is not in the log any more."""


class CompletedIndex:
    """Completed deliveries by call id, in the order in which they ended."""

    def __init__(self, log: Log, serializer: Serializer, name: str) -> None:
        """`name`: of the log, `<topic>/<partition>`."""
        self._name = name
        self._log = log
        self._serializer = serializer
        self._logged = FinishedCalls()
        self.put_logged = self._logged.put
        """Remembers a delivery whose last record stands in the log, by its key there. See FinishedCalls.put."""
        self._unwritten: dict[str, Delivery] = {}
        """Deliveries whose last record is not durable yet."""

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._unwritten or self._logged.get(call_id.encode()) is not None

    def __len__(self) -> int:
        return len(self._logged) + len(self._unwritten)

    def add(self, delivery: Delivery, written: Written) -> None:
        """Remember a delivery that is over; `written`: the future of its last record."""
        self._logged.remove(delivery.call_id.encode())
        self._unwritten[delivery.call_id] = delivery
        written.add_done_callback(partial(self._now_logged, delivery))

    def remove(self, call_id: str) -> None:
        """Drop a call from the index: its delivery goes on, or was forgotten."""
        self._unwritten.pop(call_id, None)
        self._logged.remove(call_id.encode())

    def remove_logged(self, key: bytes) -> None:
        """Drop a call that was `put_logged`, by its key in the log."""
        self._logged.remove(key)

    def ended_with(self, call_id: str, order: tuple[int, int]) -> bool:
        """Whether the call's delivery ended with this version and correction of the result, or with later ones."""
        if (known := self._logged.get(call_id.encode())) is not None:
            return (known.version, known.correction) >= order
        delivery = self._unwritten.get(call_id)
        return delivery is not None and delivery.order >= order

    def revision_token(self, call_id: str) -> object:
        """An object that is another one after every change of the call's delivery; None: it is not in the index."""
        return self._unwritten.get(call_id) or self._logged.get(call_id.encode())

    async def load(self, call_id: str) -> Delivery | None:
        """The whole state of a call's delivery; None: it is not in the index.

        Raises LostDelivery, UnreadableRecord, KafkaError or TimeoutError.
        """
        if (delivery := self._unwritten.get(call_id)) is not None:
            return delivery
        if (known := self._logged.get(call_id.encode())) is None:
            return None
        offset = known.place
        found = await self._log.read_at(offset)
        if found is None or found.key != call_id.encode():
            raise LostDelivery(f"the delivery of call {call_id} is not in the log at offset {offset}")
        try:
            decode = self._serializer.decode_own
            return delivery_in(decode(found.value, SCHEMA, found.schema_header), decode)
        except (MalformedRecord, UnknownSchema, ValidationError) as error:
            raise unreadable_delivery(f"{self._name}/{offset}", call_id, error) from None

    def forget(self, before: UtcMicros) -> list[bytes]:
        """Drop the deliveries that ended before a time; their keys in the log."""
        return self._logged.pop_ended(before)

    def _now_logged(self, delivery: Delivery, written: Written) -> None:
        if self._unwritten.get(delivery.call_id) is delivery and not written.cancelled():
            del self._unwritten[delivery.call_id]
            key = delivery.call_id.encode()
            self.put_logged(key, *delivery.order, delivery.updated_at, written.result()[key])
