"""A partition of a compacted topic with one writer: whoever fenced it last. It holds snapshots and delivery states."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import RecordMetadata

from schemas import written_as
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.client import MAX_RECORD_BYTES, stop_client
from streams.kafka.collector import fewer_collections
from streams.kafka.hard_exit import hard_exit
from streams.kafka.login import client_options, consumer_options
from streams.kafka.turn import Turn
from streams.settings import KafkaSettings

_ONE_FETCH = 64 * 1024
"""Bytes that the brokers send at most for a single record that is looked for; a longer record comes complete all the
same."""

_ANSWERS_AT_ONCE = 500

Record = tuple[bytes, bytes | None]
"""Key and value; None as value is a tombstone."""

Headers = Sequence[tuple[str, bytes]]


class StoredRecord(NamedTuple):
    """A record that stands in the log, with its schema header (schemas/headers.py)."""

    key: bytes
    value: bytes
    schema_header: bytes | None


class Fenced(Exception):
    """Another process fenced this log: it owns the partition now, and this one must end."""


class FencedLog:
    """One partition of a compacted topic, written in transactions.

    Order: `fence`, then `read`, then `write`; `close` at the end. The partition is always given explicitly, never
    derived from the key. Every method is bounded in time (aiokafka itself waits for ever while brokers are down).
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        partition: int,
        transactional_id: str,
        *,
        timeout_seconds: float = 30.0,
        unsettled: Callable[[str, BaseException], None] = hard_exit,
    ) -> None:
        """`unsettled` is called, and may raise, where it stays unknown what became of a transaction."""
        self.topic = topic
        self.partition = partition
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._timeout = timeout_seconds
        self._unsettled = unsettled
        self.last_offset: int | None = None
        """Offset of the last record of the latest transaction, as soon as its records were taken; committed or not."""
        self._producer: AIOKafkaProducer | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()

    async def fence(self) -> Self:
        """Make every earlier writer's writes fail from now on, and end the transaction that it left open.

        Raises KafkaError or TimeoutError.
        """
        await self.close()  # where it is taken over a second time
        self._producer = AIOKafkaProducer(
            **client_options(self._kafka),
            transactional_id=self._transactional_id,
            transaction_timeout_ms=round(self._timeout * 1000),
            request_timeout_ms=round(self._timeout * 1000),
            max_request_size=MAX_RECORD_BYTES,
            linger_ms=5,
        )
        async with asyncio.timeout(self._timeout):
            await self._producer.start()
        return self

    async def read(self) -> dict[bytes, bytes]:
        """The last value of every key, tombstones left out. See `scan`."""
        values: dict[bytes, bytes] = {}

        def take(record: ConsumerRecord) -> None:
            if record.value is None:
                values.pop(record.key, None)
            else:
                values[record.key] = record.value

        await self.scan(take)
        return values

    async def scan(self, take: Callable[[ConsumerRecord], None]) -> None:
        """Give every record to `take`, oldest first: of committed transactions only, up to the end as of now.

        Raises KafkaError, OSError or TimeoutError (no progress for the whole time limit).
        """
        with fewer_collections():
            async with BoundedReader(self._kafka, silence_seconds=self._timeout) as reader:
                async for records in reader.read([TopicPartition(self.topic, self.partition)]):
                    for record in records:
                        take(record)

    async def write(
        self,
        records: Sequence[Record],
        *,
        to: tuple[str, int] | None = None,
        headers: Headers = (),
        headers_by_key: Mapping[bytes, Headers] = MappingProxyType({}),
    ) -> Sequence[int] | None:
        """Write all in one transaction and await it: their offsets. None: none of them is there; it may be tried again.

        `to`: another topic and partition than the log's own, written under the log's fence. `headers`: of each record
        that has a value; `headers_by_key`: further ones of single records. One transaction at a time; a second
        call waits. Raises Fenced. Ends the process hard (`unsettled`) where it stays unknown what became of
        the transaction.
        """
        async with self._writing:
            of_each = (() if value is None else (*headers, *headers_by_key.get(key, ())) for key, value in records)
            return await self._write(records, of_each, *(to or (self.topic, self.partition)))

    async def _write(
        self, records: Sequence[Record], headers: Iterable[Headers], topic: str, partition: int
    ) -> Sequence[int] | None:
        producer = self._producer
        if producer is None:
            raise RuntimeError("the log is not fenced yet")
        self.last_offset = None
        try:
            async with asyncio.timeout(self._timeout):
                await producer.begin_transaction()
                sent, turn = list[asyncio.Future[RecordMetadata]](), Turn()
                for (key, value), own in zip(records, headers, strict=True):
                    sent.append(await producer.send(topic, value, key=key, partition=partition, headers=list(own)))
                    if turn.is_over:
                        await turn.give_way()
                written = await _offsets(sent)
                self.last_offset = written[-1] if written else None
                await producer.commit_transaction()
        except ProducerFenced as error:
            raise Fenced(self._transactional_id) from error
        except (KafkaError, TimeoutError) as error:
            await self._abort(producer, error)
            return None
        return written

    async def read_at(self, offset: int) -> StoredRecord | None:
        """The record at an offset; None: there is none. For single ones now and then.

        Raises KafkaError or TimeoutError.
        """
        partition = TopicPartition(self.topic, self.partition)
        async with self._reading, asyncio.timeout(self._timeout):
            if self._reader is None:
                self._reader = AIOKafkaConsumer(
                    **consumer_options(self._kafka),
                    isolation_level="read_committed",
                    enable_auto_commit=False,
                    max_partition_fetch_bytes=_ONE_FETCH,
                )
                await self._reader.start()
                self._reader.assign([partition])
            self._reader.seek(partition, offset)
            record = await self._reader.getone(partition)
        if record.offset != offset or record.value is None:
            return None
        return StoredRecord(record.key, record.value, written_as(record.headers))

    async def _abort(self, producer: AIOKafkaProducer, cause: BaseException) -> None:
        _retrieve_abandoned_errors(producer)
        try:
            async with asyncio.timeout(self._timeout):
                await producer.abort_transaction()
        except ProducerFenced as error:
            raise Fenced(self._transactional_id) from error
        except Exception as error:  # whatever it is: the transaction's state is unknown
            error.__cause__ = cause
            self._unsettled(
                f"a transaction on {self.topic}/{self.partition} could neither be committed nor aborted", error
            )

    async def close(self) -> None:
        """Give the log up. What was not awaited may be lost."""
        if self._reader is not None:
            await stop_client(self._reader, 5.0)
            self._reader = None
        if self._producer is not None:
            await stop_client(self._producer, 5.0)
            _retrieve_abandoned_errors(self._producer)
            self._producer = None


async def _offsets(sent: list[asyncio.Future[RecordMetadata]]) -> list[int]:
    """The brokers' answers, waited for, and freed, some at a time: thousands at once would hold the event loop.

    Takes what was answered from the list.
    """
    offsets: list[int] = []
    try:
        while sent:
            offsets += [answer.offset for answer in await asyncio.gather(*sent[:_ANSWERS_AT_ONCE])]
            del sent[:_ANSWERS_AT_ONCE]
        return offsets
    except BaseException:
        for each in sent:
            each.add_done_callback(_look_at)
        raise


def _look_at(answer: asyncio.Future[RecordMetadata]) -> None:
    """asyncio logs errors that nobody looked at."""
    if not answer.cancelled():
        answer.exception()


def _retrieve_abandoned_errors(producer: AIOKafkaProducer) -> None:
    """Look at the errors that aiokafka leaves on futures which no method of its hands out: asyncio logs unseen ones.

    They are the end of a transaction that failed before anybody waited for it (TransactionManager.fatal_error), and
    the sending of batches that never went out (MessageBatch.failure); `write` has raised the same error.
    """
    accumulator = producer._message_accumulator
    batches = [*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches]
    for future in (producer._txn_manager.wait_for_transaction_end(), *(batch._drain_waiter for batch in batches)):
        if future is not None and future.done() and not future.cancelled():
            future.exception()
