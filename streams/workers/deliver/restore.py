"""What a new owner makes of the delivery log while it reads it: open deliveries, and digests of those that are over."""

from collections.abc import Container, Iterator
from typing import Any

import structlog
from msgspec import ValidationError

from schemas import MalformedRecord, Serializer
from streams.delivery.record import FINAL, OF_PORTALS, Delivery
from streams.workers.deliver.batched_log import SCHEMA
from streams.workers.deliver.completed import CompletedIndex

_UNSORTED = 4000
"""Records that are kept as they are: most are replaced by a later one of the same call soon."""

_log = structlog.get_logger("deliver")


class LogRestore:
    """Memory follows the open deliveries and the digests, not the length of the log."""

    def __init__(self, serializer: Serializer, finished: CompletedIndex, portals: Container[str]) -> None:
        self._serializer = serializer
        self._finished = finished
        self._portals = portals
        self._unsorted: dict[bytes, tuple[bytes, int]] = {}
        self._open: dict[bytes, Delivery] = {}

    def read(self, key: bytes, value: bytes | None, offset: int) -> None:
        """The next record of the log."""
        self._unsorted.pop(key, None)
        if value is None:
            self._open.pop(key, None)
            self._finished.remove(key.decode())
            return
        self._unsorted[key] = value, offset
        if len(self._unsorted) >= 2 * _UNSORTED:
            self._sort_out(_UNSORTED)

    def open_deliveries(self) -> Iterator[Delivery]:
        """Those that are not over, at the end of the log; the takeover is empty afterwards."""
        self._sort_out(len(self._unsorted))
        while self._open:
            yield self._open.popitem()[1]

    def _sort_out(self, count: int) -> None:
        for key in [key for key, _ in zip(self._unsorted, range(count), strict=False)]:
            value, offset = self._unsorted.pop(key)
            try:
                self._sort(key, self._serializer.decode(value, SCHEMA), offset)
            except (MalformedRecord, ValidationError) as error:
                _log.error("a delivery in the log cannot be read; it is left alone", call=repr(key), error=str(error))

    def _sort(self, key: bytes, fields: dict[str, Any], offset: int) -> None:
        call_id, state = fields["call_id"], fields["state"]
        if state in OF_PORTALS:
            return
        served = fields["portal"] in self._portals
        if served and state not in FINAL:
            self._open[key] = Delivery.from_record(fields)
            self._finished.remove(call_id)
            return
        if not served and state not in FINAL:
            _log.warning("its portal is no longer in the settings", call=call_id)
        self._open.pop(key, None)
        self._finished.note(call_id, fields["version"], fields["updated_at"], offset)
