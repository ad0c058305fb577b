"""Which worker records what of a portal, when it may deliver, and what is made of the records of 0.1."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from schemas import SchemaRegistry, Serializer, own_headers
from streams.delivery.portal_records import PortalState, disabled_key, serving_key
from streams.delivery.record import Delivery, State
from streams.errors import UserError
from streams.kafka.fenced_log import Fenced, Headers
from streams.settings import PortalSettings
from streams.workers.deliver import portal_state
from streams.workers.deliver.portal_state import PortalStateStore

LOG, STATES = "deliveries-kommo", "portal-states"
PARTITIONS = 3
MAIN = PortalSettings(name="main", crm="kommo")
CONFIGURED = PortalSettings.model_validate({"name": "main", "crm": "kommo", "deliver_from": "2026-11-01T00:00:00Z"})


class Record(NamedTuple):
    """As aiokafka gives it."""

    key: bytes
    value: bytes | None
    partition: int
    topic: str
    offset: int
    headers: Headers = ()


class Ended(Exception):
    """Stands in for the hard end of the process."""


@dataclass
class Cluster:
    """Topics, and who fenced which partition of the delivery log last."""

    records: dict[tuple[str, int], list[Record]] = field(default_factory=lambda: defaultdict(list))
    epochs: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    aborting: int = 0
    """So many of the next transactions are aborted."""
    read: list[tuple[str, int]] = field(default_factory=list)
    """The partitions that were read, one after the other."""

    def serializer(self) -> Serializer:
        serializer = Serializer(SchemaRegistry("http://nowhere"))
        for number, name in enumerate(("delivery", "portal_state")):
            serializer.add_schema(name, number)
        return serializer

    def log(self, partition: int) -> "MemoryLog":
        """A new owner's log of a partition: earlier ones are fenced."""
        self.epochs[partition] += 1
        return MemoryLog(self, LOG, partition, self.epochs[partition])

    def states(self) -> dict[str, PortalState]:
        """What stands on portal-states."""
        last = {record.key.decode(): record.value for record in self.records[STATES, 0]}
        serializer = self.serializer()
        return {
            key: PortalState.from_record(serializer.decode(value, "portal_state"))
            for key, value in last.items()
            if value is not None
        }

    def log_keys(self, partition: int = 0) -> set[str]:
        """Keys in a partition of the delivery log that have a value."""
        last = {record.key.decode(): record.value for record in self.records[LOG, partition]}
        return {key for key, value in last.items() if value is not None}

    def put(self, delivery: Delivery, partition: int = 0) -> None:
        """A record of the delivery log."""
        value = self.serializer().encode("delivery", delivery.record())
        self.add(LOG, partition, delivery.call_id.encode(), value, own_headers("delivery"))

    def add(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers) -> None:
        """One more record."""
        records = self.records[topic, partition]
        records.append(Record(key, value, partition, topic, len(records), headers))


@dataclass
class MemoryLog:
    """See state_log.StateLog."""

    cluster: Cluster
    topic: str
    partition: int
    epoch: int = 0

    async def scan(self, take: Callable[[Any], None]) -> None:
        await asyncio.sleep(0)
        self.cluster.read.append((self.topic, self.partition))
        for record in list(self.cluster.records[self.topic, self.partition]):
            take(record)

    async def write(
        self,
        records: Sequence[tuple[bytes, bytes | None]],
        *,
        to: tuple[str, int] | None = None,
        headers: Headers = (),
    ) -> Sequence[int] | None:
        await asyncio.sleep(0)
        if self.epoch != self.cluster.epochs[self.partition]:
            raise Fenced(f"epoch {self.epoch}")
        if self.cluster.aborting:
            self.cluster.aborting -= 1
            return None
        topic, partition = to or (self.topic, self.partition)
        for key, value in records:
            self.cluster.add(topic, partition, key, value, headers)
        return range(len(self.cluster.records[topic, partition]))


@dataclass
class Worker:
    """A worker as far as portals concern it."""

    cluster: Cluster
    portals: tuple[PortalSettings, ...] = (MAIN,)
    address: str = "address"

    def __post_init__(self) -> None:
        self.store = PortalStateStore(
            self.portals,
            {portal.name: self.address for portal in self.portals},
            self.cluster.serializer(),
            MemoryLog(self.cluster, STATES, 0),
            lambda partition: MemoryLog(self.cluster, LOG, partition),
            PARTITIONS,
        )

    async def own(self, partition: int) -> MemoryLog:
        """Take a partition over, as the worker does."""
        log = self.cluster.log(partition)
        old = [each for each in self.cluster.records[LOG, 0] if each.key.startswith((b"portal:", b"disabled:"))]
        await self.store.take_over(partition, log, old if partition == 0 else ())
        return log

    async def started(self, *partitions: int) -> "Worker":
        await self.store.start()
        for partition in partitions:
            await self.own(partition)
        return self


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(why: str, error: BaseException | None = None) -> None:
        raise Ended(why) from error

    monkeypatch.setattr(portal_state, "hard_exit", ended)
    monkeypatch.setattr(portal_state, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(portal_state, "_RETRY_SECONDS", 0.001)


def old(state: State, at: int, **fields: Any) -> Delivery:
    name = {State.SERVING: "portal:main", State.DISABLED: "disabled:main"}[state]
    return Delivery(call_id=name, crm="kommo", portal="main", state=state, queued_at=at, updated_at=at, **fields)


def call(state: State = State.DELIVERED, portal: str = "main") -> Delivery:
    return Delivery(call_id="pbx1/1.1", crm="kommo", portal=portal, state=state)


async def test_the_owner_of_partition_0_records_since_when_a_portal_is_served() -> None:
    cluster = Cluster()
    worker = await Worker(cluster).started(0)
    since = worker.store.service(MAIN).calls_from
    assert cluster.states() == {
        "kommo/main": PortalState(crm="kommo", portal="main", serving_since=since, updated_at=since)
    }
    again = await Worker(cluster).started(0)
    assert again.store.service(MAIN).calls_from == since and len(cluster.records[STATES, 0]) == 1


async def test_another_worker_waits_for_it_and_keeps_the_same_time() -> None:
    cluster = Cluster()
    first, second = Worker(cluster), Worker(cluster)
    await second.store.start()
    waiting = asyncio.create_task(second.own(2))
    await asyncio.sleep(0.05)
    assert not waiting.done() and cluster.states() == {}, "no call may be delivered before"
    await first.started(0)
    async with asyncio.timeout(5):
        await waiting
    assert second.store.service(MAIN).calls_from == first.store.service(MAIN).calls_from


async def test_one_worker_takes_all_partitions_over_side_by_side() -> None:
    cluster = Cluster()
    worker = Worker(cluster)
    await worker.store.start()
    async with asyncio.timeout(5):
        await asyncio.gather(*(worker.own(partition) for partition in (2, 1, 0)))
    assert worker.store.service(MAIN).calls_from == cluster.states()["kommo/main"].serving_since


async def test_a_time_of_the_settings_is_not_waited_for() -> None:
    async with asyncio.timeout(5):
        await Worker(Cluster(), (CONFIGURED,)).started(1)


async def test_a_worker_that_lost_its_partition_writes_nothing() -> None:
    cluster = Cluster()
    worker = await Worker(cluster).started()
    lost = await worker.own(0)
    await Worker(cluster).started(0)
    with pytest.raises(Ended, match="another process owns deliveries-kommo/0"):
        await worker.store.disable(MAIN, "HTTP 410", 0, lost)
    assert set(cluster.states()) == {"kommo/main"}


async def test_an_aborted_transaction_is_tried_again() -> None:
    cluster = Cluster(aborting=2)
    await Worker(cluster).started(0)
    assert set(cluster.states()) == {"kommo/main"}


async def test_a_disabled_portal_stays_so_for_every_worker_until_its_address_is_another_one() -> None:
    cluster = Cluster()
    await Worker(cluster).started(0)
    told = await Worker(cluster).started()
    await told.store.disable(MAIN, "HTTP 410", 2, await told.own(2))
    assert told.store.disabled(MAIN) == "HTTP 410"
    for partition in range(PARTITIONS):
        assert (await Worker(cluster).started(partition)).store.disabled(MAIN) == "HTTP 410"
    elsewhere = await Worker(cluster, address="another").started(0)
    assert elsewhere.store.disabled(MAIN) is None
    await elsewhere.own(2)
    assert set(cluster.states()) == {"kommo/main"}
    assert (await Worker(cluster).started(0, 1, 2)).store.disabled(MAIN) is None, "it is asked again there"


async def test_a_portal_that_an_operator_enabled_is_served_after_a_restart() -> None:
    cluster = Cluster()
    worker = await Worker(cluster).started()
    await worker.store.disable(MAIN, "HTTP 410", 0, await worker.own(0))
    cluster.add(STATES, 0, disabled_key("kommo", "main", 0), None, ())
    again = await Worker(cluster).started(0)
    assert again.store.disabled(MAIN) is None
    assert again.store.service(MAIN).calls_from == worker.store.service(MAIN).calls_from


# Records of 0.1.


async def test_records_of_0_1_are_taken_over_and_kept() -> None:
    cluster = Cluster()
    cluster.put(old(State.SERVING, 7))
    cluster.put(old(State.DISABLED, 8, reason="HTTP 410", sent="address"))
    cluster.put(call())
    worker = await Worker(cluster).started()
    assert worker.store.disabled(MAIN) == "HTTP 410", "before anything is written"
    await worker.own(0)
    assert worker.store.service(MAIN).calls_from == 7
    states = cluster.states()
    assert set(states) == {"kommo/main", "kommo/main/0"}
    assert (states["kommo/main"].serving_since, states["kommo/main/0"].disabled_reason) == (7, "HTTP 410")
    assert cluster.log_keys() == {"portal:main", "disabled:main", "pbx1/1.1"}
    written = len(cluster.records[STATES, 0])
    await Worker(cluster).started(0)
    assert len(cluster.records[STATES, 0]) == written


async def test_a_worker_beside_one_of_0_1_goes_by_its_records() -> None:
    cluster = Cluster()
    cluster.put(old(State.SERVING, 7))
    async with asyncio.timeout(5):
        worker = await Worker(cluster).started(1)
    assert worker.store.service(MAIN).calls_from == 7


async def test_the_earlier_time_of_both_counts() -> None:
    cluster = Cluster()
    worker = await Worker(cluster).started(0)
    cluster.put(old(State.SERVING, 7))
    assert (
        (await Worker(cluster).started(0)).store.service(MAIN).calls_from == 7 < worker.store.service(MAIN).calls_from
    )
    assert cluster.states()["kommo/main"].serving_since == 7


async def test_a_portal_of_0_1_with_another_address_is_served_again() -> None:
    cluster = Cluster()
    cluster.put(old(State.SERVING, 7))
    cluster.put(old(State.DISABLED, 8, reason="HTTP 410", sent="address"))
    await Worker(cluster).started(0)
    assert (await Worker(cluster, address="another").started(0)).store.disabled(MAIN) is None
    assert set(cluster.states()) == {"kommo/main"} and cluster.log_keys() == {"portal:main"}


async def test_the_log_of_partition_0_is_not_read_a_second_time_by_its_owner() -> None:
    cluster = Cluster()
    await Worker(cluster).started(0)
    cluster.put(old(State.DISABLED, 8, reason="HTTP 410", sent="address"))  # by 0.1, after a step back
    cluster.read.clear()
    worker = await Worker(cluster).started()
    worker.store.assigned(range(PARTITIONS))
    others = [asyncio.create_task(worker.own(partition)) for partition in (2, 1)]
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in others), "the records of 0.1 come with partition 0"
    await worker.own(0)
    async with asyncio.timeout(5):
        await asyncio.gather(*others)
    assert worker.store.disabled(MAIN) == "HTTP 410"
    assert (LOG, 0) not in cluster.read


async def test_a_worker_without_partition_0_reads_the_records_of_0_1_once() -> None:
    cluster = Cluster()
    await Worker(cluster).started(0)
    cluster.put(old(State.DISABLED, 8, reason="HTTP 410", sent="address"))
    cluster.read.clear()
    worker = await Worker(cluster).started()
    worker.store.assigned([1, 2])
    await asyncio.gather(worker.own(1), worker.own(2))
    assert worker.store.disabled(MAIN) == "HTTP 410"
    assert cluster.read.count((LOG, 0)) == 1


# Lost records.


async def test_lost_records_stop_the_worker_with_words() -> None:
    cluster = Cluster()
    cluster.put(call(), partition=2)
    with pytest.raises(UserError, match="portal-states does not say since when portal main is served") as caught:
        await Worker(cluster).started()
    assert "portals.main.deliver_from" in caught.value.remedy
    await Worker(cluster, (CONFIGURED,)).started(0)
    await Worker(cluster).started(0)


@pytest.mark.parametrize("record", [call(portal="other"), None])
async def test_a_portal_without_calls_is_a_new_one(record: Delivery | None) -> None:
    cluster = Cluster()
    if record is not None:
        cluster.put(record)
    await Worker(cluster).started(0)
    assert set(cluster.states()) == {"kommo/main"}


async def test_a_worker_that_starts_while_another_one_begins_to_serve_is_not_stopped() -> None:
    cluster = Cluster()
    late = Worker(cluster)

    def another_one_begins(partition: int) -> MemoryLog:
        if partition == PARTITIONS - 1:
            state = PortalState(crm="kommo", portal="main", serving_since=5)
            value = cluster.serializer().encode("portal_state", state.record())
            cluster.add(STATES, 0, serving_key("kommo", "main"), value, own_headers("portal_state"))
            cluster.put(call(State.NEW), partition)
        return MemoryLog(cluster, LOG, partition)

    late.store._delivery_log = another_one_begins
    await late.store.start()
    assert late.store.service(MAIN).calls_from == 5
