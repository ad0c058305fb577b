"""Dead letters: records that could not be processed, with their untouched bytes, their origin and the reason."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Self

from aiokafka import ConsumerRecord

from schemas import Serializer, own_headers
from streams.clock import utc_now_us
from streams.dead_letter_reasons import DeadLetterReason
from streams.kafka.producer import IdempotentProducer, Message
from streams.topics import DEAD_LETTERS


class Origin(NamedTuple):
    """The record that could not be processed, as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None

    @classmethod
    def of(cls, record: ConsumerRecord) -> Self:
        """A record as a consumer gives it."""
        time = record.timestamp if record.timestamp >= 0 else None
        return cls(record.topic, record.partition, record.offset, record.key, record.value, record.headers, time)


class DeadLetters:
    """The dead-letter topic. A dead letter that cannot be written ends the process hard (IdempotentProducer).

    `topic`: its full name. `serializer`: opened with that topic. `component`: the worker that gives up
    (aggregate, or a CRM's name).
    """

    def __init__(self, producer: IdempotentProducer, serializer: Serializer, topic: str, component: str) -> None:
        self._producer = producer
        self._serializer = serializer
        self._topic = topic
        self._component = component

    async def send(
        self,
        origin: Origin,
        reason: DeadLetterReason,
        explanation: str = "",
        *,
        call_id: str | None = None,
        portal: str | None = None,
    ) -> "asyncio.Future[object]":
        """Send one; the future ends with the brokers' answer.

        Await it, or `IdempotentProducer.drain`, before the offset's commit.

        `explanation`: the reason in words, and what recovers the call.
        """
        topic, key, value, headers = self.message(origin, reason, explanation, call_id=call_id, portal=portal)
        return await self._producer.send(topic, key, value, headers=headers)

    def message(
        self,
        origin: Origin,
        reason: DeadLetterReason,
        explanation: str = "",
        *,
        call_id: str | None = None,
        portal: str | None = None,
    ) -> Message:
        """The same as a record to send."""
        value = self._serializer.encode(
            DEAD_LETTERS.schema,
            {
                "key": origin.key,
                "value": origin.value,
                "headers": [{"name": name, "value": content} for name, content in origin.headers],
                "topic": origin.topic,
                "partition": origin.partition,
                "offset": origin.offset,
                "timestamp": origin.timestamp_ms,
                "component": self._component,
                "reason": reason.code,
                "explanation": explanation,
                "failed_at": utc_now_us(),
                "call_id": call_id,
                "portal": portal,
            },
        )
        return self._topic, origin.key, value, own_headers(DEAD_LETTERS.schema)
