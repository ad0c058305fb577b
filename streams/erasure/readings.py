"""The topics read for a number: `take_inventory`. All that stands there is read, since any record may hold it."""

from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from schemas import MalformedRecord
from streams import topics
from streams.calls.result import CallLeg, CallResult
from streams.calls.segments import call_of
from streams.calls.snapshot import UnreadableSnapshot, checkpointed
from streams.delivery.record import OF_PORTALS, Delivery
from streams.erasure.inventory import CallStanding, Inventory
from streams.erasure.search import Search
from streams.kafka.topic_client import TopicRecord
from streams.operations.connection import Connection, crm_names
from streams.operations.dead_letter_topic import letter_of
from streams.operations.resolutions import ResolutionLog
from streams.replay.control import legs_topic, results_topic

OnRead = Callable[[str, int], None]
"""Told the topic that is read, and how many of its records were."""

_TELL_RECORDS = 5_000


class Readings:
    """The readings of one inventory. Every method raises UserError: no broker, no such topic."""

    def __init__(self, connection: Connection, search: Search, on_read: OnRead) -> None:
        self._connection = connection
        self._search = search
        self._on_read = on_read
        self.found = Inventory()
        self._named: set[str] = set()
        """Calls of which a result or a leg holds it."""
        self._replays: set[str] = set()
        """Names of all replays."""

    async def records(self, topic: str) -> AsyncIterator[TopicRecord]:
        """All records of a topic, by its full name."""
        count = 0
        self._on_read(topic, 0)
        async for record in self._connection.topics.read(topic):
            count += 1
            if not count % _TELL_RECORDS:
                self._on_read(topic, count)
            yield record

    async def results(self) -> None:
        """The truth about each call of which a result or a leg holds the number; its legs."""
        await self._legs(topics.CALL_LEGS, self._note_leg)
        ours = self._connection.topic(topics.CALL_RESULTS)
        async for record in self.records(ours):
            name = (record.key or b"").decode("utf-8", "replace")
            if name not in self._named and not self._search.may_hold(record.value):
                continue
            result = await self._result(record)
            if result is None:
                continue
            self.found.highest_correction = max(self.found.highest_correction, result.correction)
            if self._search.in_result(result):
                self.found.topics[ours].add(record)
                self.found.own += self._search.is_of_ones_own(result)
                self._named.add(name)
            known = self.found.calls.get(name)
            if name in self._named and (known is None or known.order < (result.version, result.correction)):
                self.found.calls[name] = CallStanding(result)
        await self._legs(topics.CALL_LEGS, self._keep_leg, of=self.found.calls)

    async def rows(self) -> None:
        """Rows on the topic `cel`."""
        topic = self._connection.topic(topics.CEL)
        async for record in self.records(topic):
            if self._search.in_bytes(record.value):
                self.found.topics[topic].add(record)

    async def open_calls(self) -> None:
        """Calls in the aggregate worker's memory, and what its checkpoints still have of calls that were there."""
        topic, values = self._connection.topic(topics.AGGREGATE_CHECKPOINTS), dict[str, bytes]()
        newest = dict[str, TopicRecord]()
        async for record in self.records(topic):
            key = (record.key or b"").decode("utf-8", "replace")
            values.pop(key, None)
            if record.value is not None:
                values[key], newest[key] = record.value, record
                if call_of(key) in self.found.calls:  # packed: what earlier ones hold is not looked at
                    self.found.topics[topic].add(record)
        by_call = dict[str, dict[str, bytes]]()
        for key, value in values.items():
            by_call.setdefault(call_of(key), {})[key] = value
        for name, own in by_call.items():
            try:
                calls, _ = checkpointed(own)
                holds = any(self._search.in_call(each.restored_call(key)) for key, each in calls.items())
            except UnreadableSnapshot:
                self.found.unreadable += 1
                continue
            if holds:
                self.found.open_calls.add(name)
                for key in own if name not in self.found.calls else ():
                    self.found.topics[topic].add(newest[key])

    async def deliveries(self) -> None:
        """The last record of each delivery that holds the number, or is of a call that did."""
        for crm in crm_names():
            topic = self._connection.topic(topics.deliveries(crm))
            async for record in self.records(topic):
                await self._delivery(crm, topic, record)

    async def _delivery(self, crm: str, topic: str, record: TopicRecord) -> None:
        name = (record.key or b"").decode("utf-8", "replace")
        key = crm, name
        if record.value is None:
            self.found.deliveries.pop(key, None)
            return
        may_hold = self._search.may_hold(record.value)
        if not may_hold and name not in self.found.calls and key not in self.found.deliveries:
            return
        try:
            fields = await self._connection.read(record, "delivery")
            holds = may_hold and self._search.in_value(fields)
            delivery = Delivery.from_record(fields)
        except (MalformedRecord, msgspec.ValidationError):
            self.found.unreadable += 1
            return
        if delivery.state in OF_PORTALS:
            return
        if holds:
            self.found.topics[topic].add(record)
        if holds or name in self.found.calls or key in self.found.deliveries:
            self.found.deliveries[key] = delivery

    async def letters(self) -> None:
        """Dead letters that hold the number or are of a call that did, and what is noted of them."""
        done = ResolutionLog(self._connection)
        await done.read_on()
        topic = self._connection.topic(topics.DEAD_LETTERS)
        async for record in self.records(topic):
            may_hold = self._search.may_hold(record.value)
            if not may_hold and not self.found.calls:
                continue
            try:
                fields = await self._connection.read(record, topics.DEAD_LETTERS.schema)
            except MalformedRecord:
                self.found.unreadable += 1
                continue
            holds = may_hold and self._search.in_value(fields)
            letter = letter_of(fields, record.partition, record.offset)
            if holds:
                self.found.topics[topic].add(record)
            if holds or letter.call_id in self.found.calls:
                self.found.letter_places.append(letter.place)
                self.found.letters += [] if done.of(letter.place) else [letter]

    async def others(self) -> None:
        """Commands and resolutions with what people wrote; results with hashes; replays with topics of their own."""
        for topic in (topics.DELIVERY_COMMANDS, topics.DEAD_LETTER_RESOLUTIONS):
            async for record in self.records(self._connection.topic(topic)):
                if self._search.in_bytes(record.value):
                    self.found.topics[record.topic].add(record)
        if self._connection.settings.privacy.hashed_topic and self.found.calls:
            async for record in self.records(self._connection.topic(topics.CALL_RESULTS_HASHED)):
                if (record.key or b"").decode("utf-8", "replace") in self.found.calls:
                    self.found.topics[record.topic].add(record)
        async for record in self.records(self._connection.topic(topics.REPLAYS)):
            name = (record.key or b"").decode("utf-8", "replace")
            (self._replays.discard if record.value is None else self._replays.add)(name)
            if self._search.in_bytes(record.value):
                self.found.topics[record.topic].add(record)
                self.found.replays.add(name)
        self.found.replays &= self._replays

    async def replays(self, present: Callable[[str], bool]) -> None:
        """Topics of replays that were written into topics of their own; `present`: whether such a topic is there."""
        for name in sorted(self._replays):
            for short in (results_topic(name), legs_topic(name)):
                topic = self._connection.topic(short)
                if not present(topic):
                    continue
                async for record in self.records(topic):
                    if self._search.in_bytes(record.value):
                        self.found.topics[topic].add(record)
                        self.found.replays.add(name)

    # Results and legs.

    async def _result(self, record: TopicRecord) -> CallResult | None:
        try:
            return CallResult.from_record(await self._connection.read(record, topics.CALL_RESULTS.schema))
        except (MalformedRecord, msgspec.ValidationError):
            self.found.unreadable += 1
            return None

    async def _legs(
        self, topic: topics.Topic, take: Callable[[CallLeg, TopicRecord], None], of: Iterable[str] | None = None
    ) -> None:
        """Each leg that may hold the number, or all of these calls."""
        async for record in self.records(self._connection.topic(topic)):
            if of is None:
                if not self._search.may_hold(record.value):
                    continue
            elif (record.key or b"").decode("utf-8", "replace") not in self.found.calls:
                continue
            try:
                leg = msgspec.convert(await self._connection.read(record, topic.schema), CallLeg)
            except (MalformedRecord, msgspec.ValidationError):
                self.found.unreadable += of is None
                continue
            take(leg, record)

    def _note_leg(self, leg: CallLeg, record: TopicRecord) -> None:
        if self._search.in_leg(leg):
            self.found.topics[record.topic].add(record)
            self._named.add(leg.call_id)

    def _keep_leg(self, leg: CallLeg, record: TopicRecord) -> None:
        call = self.found.calls[leg.call_id]
        if call.order == (leg.version, leg.correction):
            call.legs[leg.leg] = leg


async def take_inventory(
    connection: Connection, search: Search, on_read: OnRead, present: Callable[[str], bool]
) -> Inventory:
    """What holds the number now. `present`: whether a topic of a replay is there. Raises UserError: no broker."""
    readings = Readings(connection, search, on_read)
    await readings.results()
    await readings.rows()
    await readings.open_calls()
    await readings.deliveries()
    await readings.letters()
    await readings.others()
    await readings.replays(present)
    return readings.found
