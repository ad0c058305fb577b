"""The delivery log of one partition: many states in one transaction, and a future that ends when they are durable."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from schemas import SCHEMA as SCHEMA_HEADER
from schemas import own_headers
from streams.delivery.digest import DIGEST
from streams.kafka.fenced_log import Fenced, Headers, StoredRecord
from streams.kafka.hard_exit import hard_exit

SCHEMA = "delivery"
"""Schema of the log's records."""

LONGEST_BATCH = 500
"""Records of one transaction."""

Written = asyncio.Future[Mapping[bytes, int]]
"""Ends when a state is durable, with the offset of each key's last record. It never fails: the process would have
ended."""

_State = tuple[bytes | None, bytes | None]
"""Value and digest."""

_TRIES = 8
_RETRY_SECONDS = 0.5


def log_headers(headers: Iterable[tuple[str, bytes | None]]) -> tuple[bytes | None, bytes | None]:
    """The schema header and the digest among the headers of a record of the log; None: it has none."""
    schema = digest = None
    for name, value in headers:
        if name == SCHEMA_HEADER:
            schema = schema or value
        elif name == DIGEST:
            digest = value
    return schema, digest


class Log(Protocol):
    """The part of kafka/fenced_log.py that deliveries need."""

    async def write(
        self,
        records: Sequence[tuple[bytes, bytes | None]],
        *,
        headers: Headers = (),
        headers_by_key: Mapping[bytes, Headers] = MappingProxyType({}),
    ) -> Sequence[int] | None:
        """One transaction: the offsets of the records. None: none of it is there. Raises Fenced."""
        ...

    async def read_at(self, offset: int) -> StoredRecord | None:
        """The record at an offset; None: there is none. Raises KafkaError or TimeoutError."""
        ...

    async def close(self) -> None:
        """Stop using the log."""
        ...


class BatchedLog:
    """Writes states in the order in which they were put, at most one transaction at a time.

    A log that cannot be written, or that another process owns now, ends the process hard: what was sent to a CRM would
    be forgotten.
    """

    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self._name = name
        self._pending: list[tuple[bytes, _State]] = []
        self._written: Written = asyncio.get_running_loop().create_future()
        self._has_pending = asyncio.Event()
        self._ending = False
        self._loop = asyncio.create_task(self._write_loop())

    def put(self, key: bytes, value: bytes | None, digest: bytes | None = None) -> Written:
        """Hand a state over to be written; None as a value is a tombstone. `digest`: of a delivery that is over."""
        self._pending.append((key, (value, digest)))
        self._has_pending.set()
        return self._written

    @property
    def pending(self) -> int:
        """Records that no transaction has taken yet."""
        return len(self._pending)

    async def close(self) -> None:
        """Write what is pending, then close the log."""
        self._ending = True
        self._has_pending.set()
        await self._loop
        await self._log.close()

    def abandon(self) -> None:
        """Stop writing; what is pending is lost."""
        self._loop.cancel()

    async def _write_loop(self) -> None:
        while True:
            await self._has_pending.wait()
            done, self._written = self._written, asyncio.get_running_loop().create_future()
            self._has_pending.clear()
            try:
                done.set_result(await self._write_pending())
            except Exception as error:  # whatever the cause: nothing more may be sent to anybody
                hard_exit(f"{self._name} cannot be written", error)
            if self._ending and not self._pending:
                return
            if self._pending:
                self._has_pending.set()

    async def _write_pending(self) -> dict[bytes, int]:
        """The offset of each key's last record. States put meanwhile are the next call's."""
        batch, self._pending = self._pending, []
        offsets: dict[bytes, int] = {}
        for start in range(0, len(batch), LONGEST_BATCH):
            states = dict(batch[start : start + LONGEST_BATCH])
            offsets |= zip(states, await self._write(states), strict=True)
        return offsets

    async def _write(self, states: dict[bytes, _State]) -> Sequence[int]:
        """One transaction. Of several states of one call the last is enough: each is the whole state."""
        records = [(key, value) for key, (value, _) in states.items()]
        digests = {key: ((DIGEST, digest),) for key, (_, digest) in states.items() if digest is not None}
        for attempt in range(_TRIES):
            try:
                offsets = await self._log.write(records, headers=own_headers(SCHEMA), headers_by_key=digests)
                if offsets is not None:
                    return offsets
            except Fenced as error:
                hard_exit(f"another process owns {self._name} now", error)
            await asyncio.sleep(_RETRY_SECONDS * 2**attempt)
        raise ConnectionError(f"{_TRIES} transactions in a row failed")
