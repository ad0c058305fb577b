"""The delivery log of one partition: many states in one transaction, each awaited by who needs it durable."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from streams.kafka.fenced_log import Fenced
from streams.kafka.hard_exit import hard_exit

SCHEMA = "delivery"
"""Of its records."""

LONGEST_BATCH = 500
"""Records of one transaction."""

_TRIES = 8
_RETRY_SECONDS = 0.5


class Log(Protocol):
    """What a fenced log offers."""

    async def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> Sequence[int] | None:
        """One transaction: the offsets of the records. None: none of it is there. Raises Fenced."""
        ...

    async def read_at(self, offset: int) -> tuple[bytes, bytes] | None:
        """Key and value of the record at an offset; None: there is none. Raises KafkaError or TimeoutError."""
        ...

    async def close(self) -> None:
        """Give it up."""
        ...


class BatchedLog:
    """Writes states in the order in which they were put, at most one transaction at a time.

    A log that cannot be written, or that another process owns now, ends the process hard: what was sent to a CRM would
    be forgotten.
    """

    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self._name = name
        self._waiting: list[tuple[bytes, bytes | None]] = []
        self._written: asyncio.Future[Mapping[bytes, int]] = asyncio.get_running_loop().create_future()
        self._put = asyncio.Event()
        self._ending = False
        self._loop = asyncio.create_task(self._write_on())

    def put(self, key: bytes, value: bytes | None) -> "asyncio.Future[Mapping[bytes, int]]":
        """Hand a state over; the future ends when it is durable, with the offset of each key's last record.

        It never fails: the process would have ended.
        """
        self._waiting.append((key, value))
        self._put.set()
        return self._written

    @property
    def waiting(self) -> int:
        """Records that no transaction has taken yet."""
        return len(self._waiting)

    async def close(self) -> None:
        """Write what waits, then give the log up."""
        self._ending = True
        self._put.set()
        await self._loop
        await self._log.close()

    def abandon(self) -> None:
        """Stop writing, whatever waits."""
        self._loop.cancel()

    async def _write_on(self) -> None:
        while True:
            await self._put.wait()
            done, self._written = self._written, asyncio.get_running_loop().create_future()
            self._put.clear()
            try:
                done.set_result(await self._write_waiting())
            except Exception as error:  # whatever it is: nothing more may be sent to anybody
                hard_exit(f"{self._name} cannot be written", error)
            if self._ending and not self._waiting:
                return
            if self._waiting:
                self._put.set()

    async def _write_waiting(self) -> dict[bytes, int]:
        """The offset of each key's last record. What waits meanwhile is the next call's."""
        batch, self._waiting = self._waiting, []
        offsets: dict[bytes, int] = {}
        for start in range(0, len(batch), LONGEST_BATCH):
            records = dict(batch[start : start + LONGEST_BATCH])
            offsets |= zip(records, await self._write(records), strict=True)
        return offsets

    async def _write(self, records: dict[bytes, bytes | None]) -> Sequence[int]:
        """Of several states of one call in a transaction the last is enough: each is the whole state."""
        for attempt in range(_TRIES):
            try:
                offsets = await self._log.write(list(records.items()))
                if offsets is not None:
                    return offsets
            except Fenced as error:
                hard_exit(f"another process owns {self._name} now", error)
            await asyncio.sleep(_RETRY_SECONDS * 2**attempt)
        raise ConnectionError(f"{_TRIES} transactions in a row failed")
