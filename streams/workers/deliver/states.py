"""One partition's deliveries: open ones in memory, completed ones as an index, every change in the log."""

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType

from schemas import Serializer
from streams.calls.result import CallResult
from streams.clock import UtcMicros
from streams.delivery.digest import digest_of
from streams.delivery.record import Delivery
from streams.delivery.stored_result import stored_result
from streams.workers.deliver import metrics
from streams.workers.deliver.batched_log import LONGEST_BATCH, SCHEMA, BatchedLog, Log, Written
from streams.workers.deliver.completed import CompletedIndex
from streams.workers.deliver.restore import LogRestore


class DeliveryStates:
    """The deliveries by call id. `read` the whole log and take `restored` before anything else."""

    def __init__(self, name: str, log: Log, serializer: Serializer, portals: Container[str]) -> None:
        """`name`: of the log, `<topic>/<partition>`; `portals`: the names of those that are served."""
        self._serializer = serializer
        self._log = BatchedLog(log, name)
        self._completed = CompletedIndex(log, serializer, name)
        self._restore = LogRestore(name, serializer, self._completed, portals)
        self.read = self._restore.read
        """Takes the next record of the log, from its beginning to its end. See LogRestore."""
        self._open: dict[str, Delivery] = {}
        self._followed: set[str] = set()
        """Those of them whose call is in the CRM."""
        self.open: Mapping[str, Delivery] = MappingProxyType(self._open)
        """The deliveries that are not over."""

    @property
    def last_result(self) -> int:
        """The highest offset of a result that stood in the log when it was `restored`; -1: there was none."""
        return self._restore.last_result

    @property
    def newest_change(self) -> UtcMicros | None:
        """When a delivery that was `restored` changed last; None: there is none."""
        return self._restore.newest_change

    def restored(self) -> Iterator[Delivery]:
        """The deliveries that were open at the end of the log; each is to be given back by `adopt` or `store`.

        Raises UnreadableRecord.
        """
        return self._restore.open_deliveries()

    def adopt(self, delivery: Delivery) -> None:
        """Take an open delivery as it is, without a record in the log."""
        self._open[delivery.call_id] = delivery
        if delivery.final:
            self._followed.add(delivery.call_id)
        else:
            self._followed.discard(delivery.call_id)

    @property
    def unfinished(self) -> int:
        """The number of calls that are not delivered, skipped or given up."""
        return len(self._open) - len(self._followed)

    @property
    def followed(self) -> int:
        """The number of calls in the CRM that something is still to follow."""
        return len(self._followed)

    def store(self, delivery: Delivery) -> Written:
        """Replace a delivery's state; the future ends when that is durable."""
        key, value = delivery.call_id.encode(), self._serializer.encode(SCHEMA, delivery.record())
        written = self._log.put(key, value, digest_of(delivery, key, value))
        known = self._open.get(delivery.call_id)
        if delivery.final and (known is None or not known.final):
            metrics.FINISHED.labels(delivery.crm, delivery.portal, delivery.state.value).inc()
        if delivery.over:
            self._open.pop(delivery.call_id, None)
            self._followed.discard(delivery.call_id)
            self._completed.add(delivery, written)
        else:
            self._completed.remove(delivery.call_id)
            self.adopt(delivery)
        return written

    async def load(self, call_id: str) -> Delivery | None:
        """The state of a call's delivery now, read from the log where that is over; None: the call is not remembered.

        Raises LostDelivery, UnreadableRecord, KafkaError or TimeoutError.
        """
        while (delivery := self._open.get(call_id)) is None:
            token = self._completed.revision_token(call_id)
            delivery = await self._completed.load(call_id)
            if call_id not in self._open and self._completed.revision_token(call_id) in (token, None):
                break  # nothing came in between
        return delivery

    def remembers(self, call_id: str) -> bool:
        """Whether the call was seen before."""
        return call_id in self._open or call_id in self._completed

    def ended_with(self, call_id: str, order: tuple[int, int]) -> bool:
        """Whether the call's delivery ended with this version and correction of the result, or with later ones."""
        return self._completed.ended_with(call_id, order)

    def forget(self, before: UtcMicros) -> int:
        """Drop the deliveries that ended before a time, with tombstones; how many."""
        old = self._completed.forget(before)
        for key in old:
            self._log.put(key, None)
        return len(old)

    def result_of(self, delivery: Delivery) -> CallResult:
        """The result that is to be sent; it could be read when the delivery was restored, or it came."""
        return stored_result(delivery, self._serializer.decode_own)

    @property
    def backlogged(self) -> bool:
        """Whether so many changes wait for the log that no more should be made."""
        return self._log.pending > 2 * LONGEST_BATCH

    async def close(self) -> None:
        """Write what is pending and close the log."""
        await self._log.close()

    def abandon(self) -> None:
        """Stop writing at once."""
        self._log.abandon()
