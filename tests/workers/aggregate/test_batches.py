"""Rows come to the worker in batches: it may be killed, lose its partition or be suspended at every row of one."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, NoReturn, cast

import orjson
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP

from schemas import Serializer
from streams.calls.pbx_profile import PbxProfile
from streams.clock import utc_now_ms
from streams.kafka.bounded_reader import BoundedReader, ExpiredRecords
from streams.kafka.committed import Committed
from streams.kafka.dead_letters import DeadLetters
from streams.kafka.faust_overrides import Consumer
from streams.kafka.fenced_log import FencedLog
from streams.kafka.group_consumer import KnownEnd
from streams.kafka.lost_records import LossReporter, Lost
from streams.kafka.producer import IdempotentProducer, Message
from streams.privacy.erased import ErasedNumbers
from streams.rules import load_rules
from streams.settings import Settings
from streams.workers.aggregate import holes, settling_calls
from streams.workers.aggregate import worker as worker_module
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.holes import Holes
from streams.workers.aggregate.outgoing_records import OutgoingRecords
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.restore import restore
from streams.workers.aggregate.steps import Limits, ReadCommitted, ReadSnapshots, Replay
from streams.workers.aggregate.worker import AggregateWorker
from tests.operations.memory import MemoryRegistry
from tests.worker_installation import recorded_rows

CEL = TP("cel2crm.cel", 0)
FAR_AHEAD_MS = 1 << 42
SETTINGS = Settings()
UNREADABLE = 17
"""Offset of a record that is not a row."""


class Died(Exception):
    """The process is killed."""


@cache
def topic() -> Sequence[ConsumerRecord]:
    """The rows of some recorded calls, as they came, and one record that is not a row."""
    rows = recorded_rows()[:90]
    values = [orjson.dumps(row) for row in rows]
    values.insert(UNREADABLE, b"no row")
    times = [int(row["__source_ts_ms"]) for row in rows]
    times.insert(UNREADABLE, times[UNREADABLE])
    return [
        ConsumerRecord(*CEL, offset, time, 0, b"k", value, None, 1, len(value), ())
        for offset, (value, time) in enumerate(zip(values, times, strict=True))
    ]


@cache
def serializer() -> Serializer:
    return MemoryRegistry(SETTINGS).worker_serializer()


@dataclass
class Broker:
    """What survives a process; in the place of the group, the checkpoint log and the producer."""

    committed: Committed | None = None
    snapshots: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, dict[tuple[int, int], set[bytes]]] = field(default_factory=lambda: defaultdict(dict))
    letters: set[int] = field(default_factory=set)
    sent: int = 0
    dies_at_message: int | None = None
    first: int = 0
    """Rows before this offset have expired."""
    lost: list[Lost] = field(default_factory=list)
    known: KnownEnd | None = None

    def known_end(self, _: TP) -> KnownEnd | None:
        return self.known

    async def report(self, lost: Lost, since: str) -> None:
        self.lost.append(lost)

    async def commit_marked(self, _: TP, offset: int, metadata: str) -> bool:
        self.committed = Committed(offset, metadata)
        return True

    async def bounds(self, _: TP) -> tuple[int, int]:
        return self.first, len(topic())

    async def write(self, records: Iterable[tuple[bytes, bytes | None]]) -> Sequence[int]:
        for key, value in records:
            self.snapshots.pop(key.decode(), None)
            if value is not None:
                self.snapshots[key.decode()] = value
        return [0]

    async def close(self) -> None: ...

    async def drain(self) -> None: ...

    async def send_all(self, records: Iterable[Message]) -> None:
        for name, _, value, _ in records:
            if self.sent == self.dies_at_message:
                self.dies_at_message = None
                raise Died
            self.sent += 1
            if name.endswith("call-results"):
                result = serializer().decode(value, "call_result")
                order = result["version"], result["correction"]
                self.results[result["call_id"]].setdefault(order, set()).add(cast(bytes, value))
            elif name.endswith("dead-letters"):
                self.letters.add(serializer().decode(value, "dead_letter")["offset"])


class Process:
    """A worker, and its partition taken over."""

    def __init__(self, broker: Broker) -> None:
        self.worker = AggregateWorker(SETTINGS)
        rules, profile = load_rules(SETTINGS.rules), PbxProfile.of(SETTINGS)
        letters = DeadLetters(cast(IdempotentProducer, broker), serializer(), "cel2crm.dead-letters", "aggregate")
        self.worker._outgoing = OutgoingRecords(
            SETTINGS, rules, profile, serializer(), letters, ErasedNumbers.of(SETTINGS, profile)
        )
        self.worker._group = self.worker._settling.group = cast(Consumer, broker)
        self.look_into_holes_with(broker, Reader())
        self.assigned = AssignedPartition(
            CEL, self._restored(broker), cast(FencedLog, broker), self.worker._group, cast(IdempotentProducer, broker)
        )
        self.worker._assigned = {CEL: self.assigned}

    def look_into_holes_with(self, broker: Broker, reader: "Reader") -> None:
        self.worker._ends = self.worker._settling._reader = cast(BoundedReader, reader)
        losses = cast(LossReporter, broker)
        self.worker._holes = Holes(SETTINGS, cast(Consumer, broker), self.worker._ends, losses)

    def _restored(self, broker: Broker) -> PartitionState:
        steps = restore(Limits.of(SETTINGS.aggregate), 0, len(topic()))
        answer: object = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as restored:
                state: PartitionState = restored.value
                return state
            answer = None
            match step:
                case ReadCommitted():
                    answer = broker.committed
                case ReadSnapshots():
                    answer = dict(broker.snapshots)
                case Replay(partition, start, end):
                    for record in topic()[start:end]:
                        if record.offset == UNREADABLE:
                            partition.skip(record.offset)
                        else:
                            row = self.worker._decoder.decode(record.value, record.timestamp)
                            partition.replay(record.offset, row)

    async def take(self, until: int | None = None) -> None:
        """Fetch from where the partition is, and take that."""
        start = self.worker.positions()[CEL]
        if records := topic()[start:until]:
            await self.worker.take(CEL, records)

    async def finish(self) -> None:
        """Take everything, and let every call end."""
        await self.take()
        for now in (FAR_AHEAD_MS, FAR_AHEAD_MS + 60_000):
            await self.worker._send_ended(self.assigned, self.assigned.partition.tick(now, len(topic())))


Interrupt = Callable[[Process], Awaitable[None]]


class EveryRow:
    """In the place of Turn: the event loop is given away before each row, and before one of them something happens."""

    process: ClassVar[Process | None] = None
    before = -1
    """The row's offset."""
    interrupt: ClassVar[Interrupt]
    is_over = True

    async def give_way(self) -> None:
        cls = type(self)
        if cls.process is not None and cls.process.assigned.partition.position == cls.before:
            cls.before = -1
            await cls.interrupt(cls.process)

    @classmethod
    def set(cls, process: Process, before: int, interrupt: Interrupt) -> None:
        """Have `interrupt` happen to the process before this row."""
        cls.process, cls.before, cls.interrupt = process, before, staticmethod(interrupt)


def outcome(broker: Broker) -> Mapping[str, bytes]:
    """The last result of each call; two forms of one version are a fault."""
    assert all(len(forms) == 1 for orders in broker.results.values() for forms in orders.values())
    return {call: next(iter(orders[max(orders)])) for call, orders in broker.results.items()}


@pytest.fixture(autouse=True)
async def every_row(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[type[EveryRow]]:
    class Turns(EveryRow):
        pass

    monkeypatch.setattr(worker_module, "Turn", Turns)
    yield Turns


async def undisturbed() -> Broker:
    broker = Broker()
    await Process(broker).finish()
    assert len(broker.results) >= 5 and broker.letters == {UNREADABLE}
    return broker


async def test_killed_at_every_row_of_a_batch(every_row: type[EveryRow]) -> None:
    wanted = await undisturbed()

    async def kill(_: Process) -> None:
        raise Died

    for at in range(len(topic())):
        broker = Broker()
        await _checkpointed(Process(broker), at // 2)
        process = Process(broker)
        every_row.set(process, at, kill)
        with pytest.raises(Died):
            await process.take()
        await Process(broker).finish()
        assert outcome(broker) == outcome(wanted), at
        assert broker.letters == wanted.letters


async def test_killed_at_every_record_sent() -> None:
    wanted = await undisturbed()
    for at in range(wanted.sent):
        broker = Broker(dies_at_message=at)
        process = Process(broker)
        with pytest.raises(Died):
            await process.finish()
        await Process(broker).finish()
        assert outcome(broker) == outcome(wanted), at
        assert broker.letters == wanted.letters


async def test_revoked_at_every_row_of_a_batch_takes_no_row_more(every_row: type[EveryRow]) -> None:
    wanted = await undisturbed()

    async def revoke(process: Process) -> None:
        await process.worker.revoked()

    for at in range(1, len(topic())):
        broker = Broker()
        process = Process(broker)
        every_row.set(process, at, revoke)
        await process.take()
        assert process.assigned.partition.position == at
        assert broker.committed is not None and broker.committed.offset == at
        await Process(broker).finish()
        assert outcome(broker) == outcome(wanted), at
        assert broker.letters == wanted.letters


async def test_a_partition_that_comes_back_while_a_batch_of_before_is_taken(every_row: type[EveryRow]) -> None:
    """The rest of the batch is not for the partition that was taken over meanwhile."""
    wanted = await undisturbed()
    for at in range(len(topic())):
        broker = Broker()
        process = Process(broker)
        again: list[Process] = []

        async def revoke_and_assign(process: Process, broker: Broker = broker, again: list[Process] = again) -> None:
            await process.worker.revoked()
            again.append(Process(broker))
            process.worker._assigned = again[0].worker._assigned

        every_row.set(process, at, revoke_and_assign)
        await process.take()
        assert again[0].assigned.partition.position == at
        await again[0].finish()
        assert outcome(broker) == outcome(wanted), at


async def test_a_batch_that_begins_behind_the_position_repeats_nothing() -> None:
    wanted = await undisturbed()
    for at in range(len(topic())):
        broker = Broker()
        process = Process(broker)
        await process.take(at)
        await process.worker.take(CEL, topic())  # the flow was suspended, and the consumer went back too far
        await process.finish()
        assert outcome(broker) == outcome(wanted), at


async def test_a_checkpoint_in_the_middle_of_a_batch_waits_for_what_its_rows_gave(every_row: type[EveryRow]) -> None:
    async def checkpoint(process: Process) -> None:
        assert not process.assigned._gathered
        await process.assigned.checkpoint(flush=True)

    for at in range(1, len(topic()), 7):
        broker = Broker()
        process = Process(broker)
        every_row.set(process, at, checkpoint)
        await process.take()
        assert broker.committed is not None and broker.committed.offset == at


class Reader:
    """In the place of the reader that looks into holes: the rows that stand there, and how often it looked."""

    def __init__(self, there: Collection[int] = (), broker: Broker | None = None) -> None:
        """`broker`: retention removes all rows before the 31st of it while the hole is looked into."""
        self._there = there
        self._broker = broker
        self.looks = 0
        self.asked = 0

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked += 1
        return dict.fromkeys(partitions, len(topic()))

    async def read(
        self,
        partitions: Sequence[TopicPartition],
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        on_expired: Callable[[ExpiredRecords], None],
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        self.looks += 1
        [tp] = partitions
        if self._broker is not None:
            self._broker.first = 31
            on_expired(ExpiredRecords(tp.topic, tp.partition, starts[tp], ends[tp]))
        if found := [record for record in topic()[starts[tp] : ends[tp]] if record.offset in self._there]:
            yield found


def without(*missing: int) -> list[ConsumerRecord]:
    return [record for record in topic() if record.offset not in missing]


async def test_rows_that_were_passed_over_end_the_process_before_anything_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hard_exit(problem: str) -> NoReturn:
        raise Died(problem)

    monkeypatch.setattr(holes, "hard_exit", hard_exit)
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, Reader({30, 31}))
    with pytest.raises(Died, match=r"cel2crm\.cel/0 from 30 on were passed over"):
        await process.worker.take(CEL, without(29, 30, 31))
    assert process.assigned.partition.position == 29 and broker.committed is None


async def test_the_ends_of_transactions_are_no_rows_and_looked_into_once() -> None:
    process = Process(Broker())
    reader = Reader()
    process.look_into_holes_with(Broker(), reader)
    await process.worker.take(CEL, without(29, 40, 50))
    assert process.assigned.partition.position == len(topic())
    assert reader.looks == 1
    process = Process(Broker())
    process.look_into_holes_with(Broker(), reader)
    await process.worker.take(CEL, without(29, 40, 41))  # two of them: a transaction without a row of ours, or a loss
    assert reader.looks == 3


async def test_rows_that_expire_while_their_hole_is_looked_into_are_told() -> None:
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, Reader(broker=broker))
    await process.worker.take(CEL, without(29, 30))
    assert [(lost.first, lost.next) for lost in broker.lost] == [(29, 31)]
    assert process.assigned.partition.position == len(topic())


async def test_a_call_settles_by_what_fetches_tell_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0
    monkeypatch.setattr(settling_calls, "utc_now_ms", lambda: now)
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, reader := Reader())
    at = next(record.offset for record in topic() if b"LINKEDID_END" in record.value)
    await process.take(at + 1)
    assert process.assigned.partition.settling and not broker.results
    now = FAR_AHEAD_MS
    broker.known = KnownEnd(at + 2, now)  # a row more is there
    await process.worker._settling.look()
    broker.known = KnownEnd(at + 1, now - 10)  # an answer from before: seen already
    await process.worker._settling.look()
    for now in (FAR_AHEAD_MS + 5, FAR_AHEAD_MS + 40, FAR_AHEAD_MS + 54):
        broker.known = KnownEnd(at + 1, now)
        await process.worker._settling.look()
        assert not broker.results
    now = FAR_AHEAD_MS + 55
    await process.worker._settling.look()
    assert not broker.results  # the same answer as before
    broker.known = KnownEnd(at + 1, now)
    await process.worker._settling.look()
    assert len(broker.results) == 1 and not reader.asked


async def test_a_look_before_the_rows_of_an_answer_are_taken_does_not_use_the_answer_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = FAR_AHEAD_MS
    monkeypatch.setattr(settling_calls, "utc_now_ms", lambda: now)
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, Reader())
    at = next(record.offset for record in topic() if b"LINKEDID_END" in record.value)
    await process.take(at + 1)
    broker.known = KnownEnd(at + 1, now)
    await process.worker._settling.look()
    now += 60
    broker.known = KnownEnd(at + 2, now)  # a row more, which the agent is taking
    await process.worker._settling.look()
    assert not broker.results
    await process.take(at + 2)
    before = process.assigned.looked_at_ms
    await process.worker._settling.look()
    assert before < process.assigned.looked_at_ms == now


async def test_rows_that_were_taken_and_a_settled_call_each_bring_the_next_look() -> None:
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, Reader())
    settling = process.worker._settling
    at = next(record.offset for record in topic() if b"LINKEDID_END" in record.value)
    await process.take(at)
    idle = asyncio.ensure_future(settling.wait())
    await asyncio.sleep(0.05)
    assert not idle.done()  # nothing waits for its settle time
    await process.take(at + 1)
    await asyncio.wait_for(idle, 1)
    broker.known = KnownEnd(at + 1, utc_now_ms())
    await settling.look()
    assert process.assigned.partition.settled_at is not None
    while not broker.results:  # no row comes: the timer alone
        assert settling.known_ends([CEL])
        await asyncio.wait_for(settling.wait(), 1)
        broker.known = KnownEnd(at + 1, utc_now_ms())
        await settling.look()


async def test_the_clock_alone_brings_no_look_before_an_answer_could_have_told_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling_calls, "utc_now_ms", lambda: FAR_AHEAD_MS)
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, Reader())
    settling = process.worker._settling
    at = next(record.offset for record in topic() if b"LINKEDID_END" in record.value)
    await process.take(at + 1)
    await settling.wait()
    broker.known = KnownEnd(at + 1, FAR_AHEAD_MS)
    await settling.look()
    assert process.assigned.partition.settled_at == FAR_AHEAD_MS + 50
    began = time.monotonic()
    await settling.wait()
    assert time.monotonic() - began >= 0.07


async def test_brokers_are_asked_for_the_end_where_no_fetch_told_it_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    now = FAR_AHEAD_MS
    monkeypatch.setattr(settling_calls, "utc_now_ms", lambda: now)
    broker = Broker()
    process = Process(broker)
    process.look_into_holes_with(broker, reader := Reader())
    await process.take(next(record.offset for record in topic() if b"LINKEDID_END" in record.value) + 1)
    for broker.known in (None, KnownEnd(len(topic()), now - 251), KnownEnd(len(topic()), now + 251)):
        await process.worker._settling.look()
    assert reader.asked == 3


async def _checkpointed(process: Process, until: int) -> None:
    if until:
        await process.take(until)
        await process.assigned.checkpoint(flush=True)
