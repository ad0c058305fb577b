"""A partition's deliveries rebuilt from the delivery log: the open ones, and an index of the completed ones.

Those of the completed ones whose records bear a digest (delivery/digest.py) are not decoded.
"""

from collections.abc import Container, Iterator
from typing import Any

import structlog
from msgspec import ValidationError

from schemas import MalformedRecord, Serializer, UnknownSchema
from streams.clock import UtcMicros
from streams.delivery.digest import trusted_digest
from streams.delivery.follow_ups import is_over
from streams.delivery.record import FINAL, OF_PORTALS, Delivery
from streams.delivery.stored_result import delivery_in
from streams.kafka.set_aside import UnreadableRecord, unreadable_delivery
from streams.workers.deliver.batched_log import SCHEMA
from streams.workers.deliver.completed import CompletedIndex

_UNDECODED = 4000
"""Records that wait undecoded: most are soon replaced by a later one of the same call."""

_log = structlog.get_logger("deliver")


class LogRestore:
    """Takes the log's records in order. Memory grows with the deliveries, not with the length of the log."""

    def __init__(self, name: str, serializer: Serializer, completed: CompletedIndex, portals: Container[str]) -> None:
        """`name`: of the log, `<topic>/<partition>`; `completed` is filled; `portals`: the names of those served."""
        self._name = name
        self._serializer = serializer
        self._completed = completed
        self._put_completed = completed.put_logged
        self._portals = portals
        self._undecoded: dict[bytes, tuple[bytes, int, bytes | None]] = {}
        self._unreadable: dict[bytes, UnreadableRecord] = {}
        """By key, while no later record of the same call replaces it."""
        self._open: dict[bytes, Delivery] = {}
        self.distrusted = 0
        """Records that are decoded, though they have a digest: it is of another layout, or does not belong to them."""
        self._newest_change: UtcMicros = -1
        self.last_result = -1
        """The highest offset of a result that stands in the log; -1: there is none."""

    @property
    def newest_change(self) -> UtcMicros | None:
        """When a delivery changed last; None: there is none."""
        return None if self._newest_change < 0 else self._newest_change

    def read(
        self, key: bytes, value: bytes | None, offset: int, header: bytes | None, digest: bytes | None = None
    ) -> None:
        """Take the next record of the log. `header`, `digest`: its headers of these names (schemas/headers.py,
        delivery/digest.py)."""
        self._undecoded.pop(key, None)
        self._unreadable.pop(key, None)
        if value is None:
            self._open.pop(key, None)
            self._completed.remove_logged(key)
        elif digest is None or not self._take_digest(key, value, offset, header, digest):
            self._undecoded[key] = value, offset, header
            if len(self._undecoded) >= 2 * _UNDECODED:
                self._decode(_UNDECODED)

    def _take_digest(self, key: bytes, value: bytes, offset: int, header: bytes | None, digest: bytes) -> bool:
        """Take a finished call by its digest; whether that could be trusted. Once for each of millions of calls."""
        if not self._serializer.recognise_own(value, SCHEMA, header):
            return False
        found = trusted_digest(digest, key, value)
        if found is None:
            self.distrusted += 1
            return False
        version, correction, updated_at, source_offset = found
        self._open.pop(key, None)
        self._put_completed(key, version, correction, updated_at, offset)
        self._newest_change = max(self._newest_change, updated_at)
        self.last_result = max(self.last_result, source_offset)
        return True

    def open_deliveries(self) -> Iterator[Delivery]:
        """The deliveries that are open at the end of the log; nothing is kept of them here afterwards.

        Raises UnreadableRecord, also for a delivery that may be over: it says that the call must not be sent again.
        """
        self._decode(len(self._undecoded))
        if self.distrusted:
            _log.warning(
                "records were decoded although they have a digest: it is of another layout, or not theirs",
                log=self._name, records=self.distrusted,
            )  # fmt: skip
        for unreadable in self._unreadable.values():
            raise unreadable
        while self._open:
            yield self._open.popitem()[1]

    def _decode(self, count: int) -> None:
        """Decode the oldest records."""
        for key in [key for key, _ in zip(self._undecoded, range(count), strict=False)]:
            value, offset, header = self._undecoded.pop(key)
            try:
                self._add(key, self._serializer.decode_own(value, SCHEMA, header), offset)
            except (MalformedRecord, UnknownSchema, ValidationError) as error:
                place, call = f"{self._name}/{offset}", key.decode("utf-8", "replace")
                self._unreadable[key] = unreadable_delivery(place, call, error)

    def _add(self, key: bytes, fields: dict[str, Any], offset: int) -> None:
        call_id, state = fields["call_id"], fields["state"]
        if state in OF_PORTALS:
            return
        self._newest_change = max(self._newest_change, fields["updated_at"])
        self.last_result = max(self.last_result, fields["source_offset"])
        served = fields["portal"] in self._portals
        if served and not is_over(fields):
            self._open[key] = delivery_in(fields, self._serializer.decode_own)
            self._completed.remove_logged(key)
            return
        if not served and state not in FINAL:
            _log.warning("its portal is no longer in the settings", call=call_id)
        self._open.pop(key, None)
        order = fields["version"], fields["correction"]
        self._put_completed(call_id.encode(), *order, fields["updated_at"], offset)
