"""Records on their way through Faust: those of one poll as one message, and how many are under way."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from aiokafka import ConsumerRecord
from faust.types import TP, ConsumerMessage

MOST_IN_FLIGHT = 4_000
"""Records that are fetched and not taken yet: more wait on the brokers. A fetch of 500 takes some milliseconds."""
_LOOK_SECONDS = 1.0
"""How often whoever waits for room looks whether it still has to."""


class Batch(ConsumerMessage):
    """The records of one poll, by partition and in their order, as one message of Faust's.

    Faust takes it for the last record of the first partition. It makes nothing of that: nobody commits by its words.
    """

    __slots__ = ("polled", "size")

    def __init__(self, polled: Mapping[TP, Sequence[ConsumerRecord]], generation: int) -> None:
        tp, records = next(iter(polled.items()))
        last = records[-1]
        super().__init__(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type, [], None, b"", None,
            tp=tp, generation_id=generation,
        )  # fmt: skip
        self.polled = polled
        self.size = sum(map(len, polled.values()))


class InFlight:
    """Records that were handed to the agent and not taken yet. Faust counts messages where it keeps back pressure."""

    def __init__(self) -> None:
        self.count = 0
        self._room = asyncio.Event()

    def handed_over(self, records: int) -> None:
        """So many more."""
        self.count += records

    def taken(self, records: int) -> None:
        """So many less: who waits for room looks again."""
        self.count = max(0, self.count - records)
        self._room.set()

    def forget(self) -> None:
        """What was handed over and is not taken yet is dropped by Faust's stream, or comes again."""
        self.taken(self.count)

    async def until_room(self, wanted: Callable[[], bool]) -> None:
        """Wait until more may be fetched, as long as that is wanted."""
        while self.count >= MOST_IN_FLIGHT and wanted():
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._room.wait()
