"""Results and operators' commands read as events of the delivery machine; unreadable ones go to the dead letters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import msgspec
from aiokafka import ConsumerRecord

from schemas import MalformedRecord, Serializer, UnknownSchema, own_header, written_as
from streams.calls.differences import compared_hash
from streams.calls.result import CallResult
from streams.calls.result_headers import ERASURE, LIVE, origin_of
from streams.clock import UtcMicros, utc_now_us
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.command_record import Command
from streams.delivery.events import Arrived, CommandReceived
from streams.delivery.portal_records import Service
from streams.delivery.routing import history_reason, portal_of, skip_reason_for
from streams.kafka.dead_letters import DeadLetters, Origin
from streams.kafka.topic_client import partition_of
from streams.settings import PortalSettings
from streams.topics import CALL_RESULTS, DELIVERY_COMMANDS
from streams.workers.deliver import metrics

FollowUps = Callable[[CallResult, PortalSettings], Mapping[str, Mapping[str, str]]]

Headers = list[tuple[str, bytes | None]]


class Memory(Protocol):
    """What is remembered of a partition's calls."""

    @property
    def log_since(self) -> UtcMicros:
        """The log was lost then: of calls that ended before, it need not know; 0: it was not."""

    def remembers(self, call_id: str) -> bool:
        """Whether a call is known."""


class Intake:
    """Reads the records that come to the deliveries of one CRM.

    `services`: by portal, since when it is served; `remember_us`: how long delivery remembers a call; `partitions`:
    of the topic of results; `follow_ups`: what a call asks for beside itself, as Arrived has it.
    """

    def __init__(
        self,
        crm: str,
        serializer: Serializer,
        dead: DeadLetters,
        portals: Sequence[PortalSettings],
        services: Mapping[str, Service],
        remember_us: int,
        partitions: int,
        follow_ups: FollowUps = lambda _result, _portal: {},
    ) -> None:
        self.crm = crm
        self._serializer = serializer
        self._dead_letters = dead
        self._portals = portals
        self._services = services
        self._remember_us = remember_us
        self._partitions = partitions
        self._follow_ups = follow_ups

    async def result(self, record: ConsumerRecord, memory: Memory) -> Arrived | None:
        """The result in a record; None where no portal of this CRM serves its PBX, and where it cannot be read."""
        value, headers = record.value, cast(Headers, record.headers)
        header = written_as(headers)
        try:
            result, value, header = await self._result(value, header)
        except (MalformedRecord, msgspec.ValidationError) as error:
            await self._refuse(record, DeadLetterReason.UNREADABLE_RESULT, str(error))
            return None
        belongs = partition_of(result.call_id.encode(), self._partitions)
        if belongs != record.partition:
            why = (
                f"call {result.call_id} belongs to partition {belongs}, and this is {record.partition}: a copy, whose "
                "call another worker delivers"
            )
            await self._refuse(record, DeadLetterReason.WRONG_PARTITION, why, result.call_id)
            return None
        origin = origin_of(headers)
        if origin == ERASURE:
            return None  # what a delivery holds is erased by a command
        source = record.topic, record.partition, record.offset
        return self._arrived(result, value, header, source, memory, origin)

    async def command(self, record: ConsumerRecord, memory: Memory) -> tuple[str, CommandReceived | None]:
        """A command and its call id; None where it is for another CRM, and where it cannot be read."""
        try:
            header = written_as(cast(Headers, record.headers))
            command = Command.from_record(await self._serializer.read(record.value, DELIVERY_COMMANDS.schema, header))
            if command.crm != self.crm:
                return command.call_id, None
            return command.call_id, await self._command_received(command, memory)
        except (MalformedRecord, msgspec.ValidationError) as error:
            await self._refuse(record, DeadLetterReason.UNREADABLE_COMMAND, str(error))
            return "", None

    async def _command_received(self, command: Command, memory: Memory) -> CommandReceived:
        now = utc_now_us()
        if command.result is None:
            return CommandReceived(now, command.remembered)
        result, value, header = await self._result(command.result, command.result_schema.encode() or None)
        if result.call_id != command.call_id:
            raise MalformedRecord(f"a command for {command.call_id} with the result of {result.call_id}")
        source = command.source_topic, command.source_partition, command.source_offset
        arrived = self._arrived(result, value, header, source, memory)
        # What an installation before this one brought, nothing here remembers.
        began = self._services[arrived.portal].began if arrived is not None else 0
        forgotten = result.ended_at < max(now - self._remember_us, memory.log_since, began)
        return CommandReceived(now, command.remembered, arrived, look_first=forgotten)

    def _arrived(
        self,
        result: CallResult,
        value: bytes,
        header: bytes | None,
        source: tuple[str, int, int],
        memory: Memory,
        origin: str = LIVE,
    ) -> Arrived | None:
        portal = portal_of(self._portals, result.pbx)
        now = utc_now_us()
        if portal is None:
            return None
        service = self._services[portal.name]
        history = history_reason(result, portal, service.calls_from, origin)
        if history is None and result.ended_at < now - self._remember_us and not memory.remembers(result.call_id):
            history = "it is older than what delivery remembers, and may have been delivered long ago"
        return Arrived(
            now=now,
            call_id=result.call_id,
            portal=portal.name,
            version=result.version,
            correction=result.correction,
            outcome_hash=result.outcome_hash,
            compared_hash=compared_hash(result),
            result=value,
            result_schema=(header or b"").decode(),
            call_ended_at=result.ended_at,
            skip=skip_reason_for(result, portal),
            follow_ups=self._follow_ups(result, portal),
            history=history,
            look_first=result.ended_at < max(memory.log_since, 0 if origin == LIVE else service.began),
            source=source,
        )

    async def _result(self, value: bytes | None, header: bytes | None) -> tuple[CallResult, bytes, bytes | None]:
        """A result, and the bytes with their schema header that the delivery keeps, to be read without the registry."""
        schema = CALL_RESULTS.schema
        try:
            result = CallResult.from_record(self._serializer.decode_own(value, schema, header))
        except (MalformedRecord, UnknownSchema):
            result = CallResult.from_record(await self._serializer.read(value, schema, header))
            return result, self._serializer.encode(schema, result.record()), own_header(schema)
        return result, cast(bytes, value), header

    async def _refuse(
        self, record: ConsumerRecord, reason: DeadLetterReason, why: str, call_id: str | None = None
    ) -> None:
        metrics.DEAD_LETTERS.labels(self.crm, reason.code).inc()
        await (await self._dead_letters.send(Origin.of(record), reason, why, call_id=call_id))
