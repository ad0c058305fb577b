"""The delivery log taken over by digests: what is known afterwards is what decoding every record tells."""

import io
from random import Random
from typing import Any

import fastavro
import pytest
from structlog.testing import capture_logs

from schemas import Serializer, own_header
from schemas.codec import without_logical_types
from schemas.headers import header_of
from schemas.source import WRITTEN_BY_0_1_0, released
from streams.delivery.digest import digest_of
from streams.delivery.record import Delivery, FollowUp, State
from streams.kafka.set_aside import UnreadableRecord
from streams.settings import Settings
from streams.workers.deliver.batched_log import SCHEMA
from streams.workers.deliver.completed import CompletedIndex
from streams.workers.deliver.restore import LogRestore
from tests.faults.fenced_memory import PartitionLog
from tests.operations.memory import MemoryRegistry
from tests.upgrade.stored import DIRECTORY, Stored

OWN = own_header(SCHEMA)
Log = list[tuple[bytes, bytes | None, bytes | None, bytes | None]]
"""Key, value, schema header and digest of each record."""


class CountingSerializer(Serializer):
    """Counts the records that are decoded."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry(Settings()))
        self.add_schema(SCHEMA, 1)
        self.decoded = 0

    def decode_own(self, value: bytes | None, name: str, header: bytes | None) -> dict[str, Any]:
        self.decoded += 1
        return super().decode_own(value, name, header)


ENCODER = CountingSerializer()


class TakenOver:
    """A log that was read to its end."""

    def __init__(self, log: Log) -> None:
        self.serializer = ENCODER
        ENCODER.decoded = 0
        self.completed = CompletedIndex(PartitionLog().fence(), self.serializer, "log/0")
        self.restore = LogRestore("log/0", self.serializer, self.completed, {"main"})
        for offset, (key, value, header, digest) in enumerate(log):
            self.restore.read(key, value, offset, header, digest)
        self.open = {delivery.call_id: delivery for delivery in self.restore.open_deliveries()}

    def knows(self, calls: int) -> list[object]:
        """Of each call: what is open, or the place of its last record and by which version it ended."""
        known: list[object] = []
        for call_id in map(call, range(calls)):
            version = max((n for n in range(60) if self.completed.ended_with(call_id, (n, 1))), default=None)
            known.append(self.open.get(call_id) or (self.completed.revision_token(call_id), version))
        return known


def call(number: int) -> str:
    return f"pbx1/1764360000.{number}"


def finished(number: int = 1, **fields: Any) -> Delivery:
    known: dict[str, Any] = {
        "portal": "main",
        "state": State.DELIVERED,
        "version": 7,
        "updated_at": 5,
        "source_offset": 3,
    }
    return Delivery(call_id=call(number), crm="kommo", **known | fields)


def record(delivery: Delivery, *, digest: bool = True) -> tuple[bytes, bytes, bytes, bytes | None]:
    key, value = delivery.call_id.encode(), ENCODER.encode(SCHEMA, delivery.record())
    return key, value, OWN, digest_of(delivery, key, value) if digest else None


def random_log(random: Random, calls: int) -> Log:
    """States of some calls one after the other, tombstones among them."""
    log: Log = []
    for time in range(1, random.randrange(20, 60)):
        number = random.randrange(calls)
        if random.random() < 0.15:
            log.append((call(number).encode(), None, None, None))
            continue
        waits = FollowUp(kind="recording", state=random.choice((State.WAITING, State.DELIVERED)))
        log.append(
            record(
                finished(
                    number,
                    state=random.choice((State.NEW, State.INTENT, State.DELIVERED, State.SKIPPED, State.REFUSED)),
                    portal=random.choice(("main", "main", "another")),
                    version=time,
                    correction=random.choice((0, 1, 5)),
                    updated_at=time,
                    source_offset=random.randrange(100),
                    follow_ups=random.choice(((), (waits,))),
                )
            )
        )
    return log


@pytest.mark.parametrize("seed", range(100))
def test_a_log_tells_the_same_with_digests_without_them_and_with_damaged_ones(seed: int) -> None:
    random, calls = Random(seed), 6
    log = random_log(random, calls)
    decoded = TakenOver([(key, value, header, None) for key, value, header, _ in log])
    mixed: Log = []
    for key, value, header, digest in log:
        others = [each[3] for each in log if each[3] is not None and each[3] != digest]
        mixed.append((key, value, header, random.choice((digest, None, b"", b"\x02" + bytes(36), *others[:2]))))
    for taken in (TakenOver(log), TakenOver(mixed)):
        assert taken.knows(calls) == decoded.knows(calls)
        assert len(taken.completed) == len(decoded.completed)
        # Records that are replaced later may be seen or not, so that these may be higher.
        assert (taken.restore.newest_change or 0) >= (decoded.restore.newest_change or 0)
        assert taken.restore.last_result >= decoded.restore.last_result


def test_finished_calls_are_not_decoded() -> None:
    log: Log = [record(finished(number)) for number in range(100)]
    taken = TakenOver([*log, record(finished(100, state=State.NEW))])
    assert taken.serializer.decoded == 1 and list(taken.open) == [call(100)]
    assert len(taken.completed) == 100
    assert (taken.restore.newest_change, taken.restore.last_result) == (5, 3)


@pytest.mark.parametrize("digest", [True, False])
def test_the_index_is_in_the_order_in_which_calls_ended(digest: bool) -> None:
    taken = TakenOver([record(finished(number, updated_at=number), digest=digest) for number in range(100)])
    assert set(taken.completed.forget(50)) == {call(number).encode() for number in range(50)}


def test_calls_with_and_without_digests_are_forgotten_at_last() -> None:
    log: Log = [record(finished(number, updated_at=number), digest=number % 2 == 0) for number in range(100)]
    taken = TakenOver(log)
    early = taken.completed.forget(50)
    assert {call(number).encode() for number in range(0, 50, 2)} <= set(early)
    assert {*early, *taken.completed.forget(100)} == {call(number).encode() for number in range(100)}


def test_a_digest_of_another_record_is_told_and_the_record_is_decoded() -> None:
    (key, value, header, _), (*_, foreign) = record(finished(1)), record(finished(1, version=99))
    with capture_logs() as logged:
        taken = TakenOver([(key, value, header, foreign)])
    assert taken.completed.ended_with(call(1), (7, 0)) and not taken.completed.ended_with(call(1), (8, 0))
    assert (taken.serializer.decoded, taken.restore.distrusted) == (1, 1)
    assert [(line["log_level"], line["records"], "digest" in line["event"]) for line in logged] == [
        ("warning", 1, True)
    ]


def test_a_damaged_record_stops_the_worker_though_its_digest_is_whole() -> None:
    key, value, header, digest = record(finished())
    with pytest.raises(UnreadableRecord, match="the worker stops"):
        TakenOver([(key, value[:-4], header, digest)])


def test_a_record_of_a_later_release_stops_the_worker_though_this_one_knows_its_digest() -> None:
    key, value, _, digest = record(finished())
    with pytest.raises(UnreadableRecord, match="nor the registry holds"):
        TakenOver([(key, value, b"delivery/0123456789abcdef", digest)])


def test_a_finished_call_that_replaces_a_record_that_cannot_be_read_lets_the_worker_go_on() -> None:
    key, _, header, _ = record(finished())
    assert len(TakenOver([(key, b"\x00\x00\x00\x00\x01damaged", header, None), record(finished())]).completed) == 1


async def test_the_ids_of_records_that_are_not_decoded_are_compared_with_the_registry() -> None:
    key, value, header, _ = record(finished())
    value = value[:4] + b"\x63" + value[5:]  # written under the id 99
    digest = digest_of(finished(), key, value)
    await ENCODER.changed_ids()  # those of other tests
    taken = TakenOver([(key, value, header, digest)])
    assert taken.serializer.decoded == 0
    assert [(each.schema_id, each.written_as) for each in await taken.serializer.changed_ids()] == [(99, OWN.decode())]


@pytest.mark.parametrize("version", sorted(released(SCHEMA)))
def test_records_of_before_have_no_digest_and_are_taken_up(version: int) -> None:
    writer = released(SCHEMA)[version]
    names = {field["name"] for field in writer["fields"]}
    fields = {name: each for name, each in finished().record().items() if name in names}
    value = _encoded(writer, fields)
    header = None if version == WRITTEN_BY_0_1_0.get(SCHEMA, 1) else header_of(SCHEMA, writer)
    taken = TakenOver([(call(1).encode(), value, header, None)])
    assert taken.completed.ended_with(call(1), (7, 0))


def _encoded(writer: Any, fields: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    buffer.write(b"\x00\x00\x00\x00\x07")
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(without_logical_types(writer)), fields)
    return buffer.getvalue()


def test_the_stored_logs_of_0_1_0_are_taken_up() -> None:
    stored = Stored.load(DIRECTORY)
    logs = {each.topic for each in stored.records if each.topic.startswith("deliveries-")}
    assert len(logs) >= 2
    for topic in logs:
        log: Log = [
            (each.key or b"", each.value, dict(each.headers).get("schema"), None)
            for each in stored.records
            if each.topic == topic
        ]
        calls = {key for key, value, *_ in log if value is not None and not key.startswith((b"portal:", b"disabled:"))}
        taken = TakenOver(log)
        assert len(taken.completed) + len(taken.open) == len(calls) > 0
