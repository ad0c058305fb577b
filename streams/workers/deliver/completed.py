"""A partition's deliveries that are over: of each only what tells whether something new came for its call.

Its whole state stands in the log and is read again from there where it is needed: for a later version of the result, or
an operator's command. So memory follows the number of calls that are remembered, about 200 bytes each, and not what is
known of them.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from struct import Struct

from schemas import Serializer
from streams.delivery.record import Delivery
from streams.workers.deliver.batched_log import SCHEMA, Log

_DIGEST = Struct("<qqq")
"""Version, time of the last change, offset of the record in the log."""


class LostDelivery(LookupError):
    """The record of a delivery that is remembered cannot be read any more."""


class CompletedIndex:
    """Call by call, in the order in which they ended."""

    def __init__(self, log: Log, serializer: Serializer) -> None:
        self._log = log
        self._serializer = serializer
        self._digests: dict[str, bytes] = {}
        self._unwritten: dict[str, Delivery] = {}
        """Not in the log yet."""

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._digests or call_id in self._unwritten

    def __len__(self) -> int:
        return len(self._digests) + len(self._unwritten)

    def add(self, delivery: Delivery, written: "asyncio.Future[Mapping[bytes, int]]") -> None:
        """A delivery that is over now; `written`: ends with the offsets of what was written with it."""
        self._digests.pop(delivery.call_id, None)
        self._unwritten[delivery.call_id] = delivery
        written.add_done_callback(partial(self._in_the_log, delivery))

    def note(self, call_id: str, version: int, updated_at: int, offset: int) -> None:
        """One that stands in the log."""
        self._digests.pop(call_id, None)
        self._digests[call_id] = _DIGEST.pack(version, updated_at, offset)

    def remove(self, call_id: str) -> None:
        """It goes on, or it was forgotten."""
        self._unwritten.pop(call_id, None)
        self._digests.pop(call_id, None)

    def knows(self, call_id: str, version: int) -> bool:
        """Whether it ended with this version of the result, or a later one."""
        if (digest := self._digests.get(call_id)) is not None:
            return int(_DIGEST.unpack(digest)[0]) >= version
        delivery = self._unwritten.get(call_id)
        return delivery is not None and delivery.version >= version

    def mark(self, call_id: str) -> object:
        """Another object after every change."""
        return self._unwritten.get(call_id) or self._digests.get(call_id)

    async def whole(self, call_id: str) -> Delivery | None:
        """Its whole state; None: it is not remembered.

        Raises LostDelivery, MalformedRecord or msgspec.ValidationError; KafkaError or TimeoutError.
        """
        if (delivery := self._unwritten.get(call_id)) is not None:
            return delivery
        if (digest := self._digests.get(call_id)) is None:
            return None
        offset = _DIGEST.unpack(digest)[2]
        found = await self._log.read_at(offset)
        if found is None or found[0] != call_id.encode():
            raise LostDelivery(f"the delivery of call {call_id} is not in the log at offset {offset}")
        return Delivery.from_record(self._serializer.decode(found[1], SCHEMA))

    def forget(self, before: int) -> list[str]:
        """Drop what ended before a time; which."""
        old = []
        for call_id, digest in self._digests.items():
            if _DIGEST.unpack(digest)[1] >= before:
                break  # those behind it ended later
            old.append(call_id)
        for call_id in old:
            del self._digests[call_id]
        return old

    def _in_the_log(self, delivery: Delivery, written: "asyncio.Future[Mapping[bytes, int]]") -> None:
        if self._unwritten.get(delivery.call_id) is delivery and not written.cancelled():
            del self._unwritten[delivery.call_id]
            offset = written.result()[delivery.call_id.encode()]
            self.note(delivery.call_id, delivery.version, delivery.updated_at, offset)
