"""Topics and groups taken off a broker with every offset, and put back on another one with the same offsets.

Offsets count: commits, markers, the places of dead letters and the digests of deliveries name them. Where transactions
ended, an offset holds a control record, which no client can write. So a transaction of the same records is made again:
its end takes the same offset. Offsets of transactions that were aborted are filled with an aborted transaction.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata

from tests.upgrade.stored import StoredRecord

_FILLER = (b"filler of an aborted transaction", b"")
_SECONDS = 60.0


async def topics_of(servers: str, prefix: str) -> dict[str, int]:
    """The topics with a prefix, without it: how many partitions each has."""
    async with _consumer(servers) as consumer:
        metadata = await consumer._client.fetch_all_metadata()
        names = [name for name in metadata.topics() if name.startswith(f"{prefix}.")]
        return {name[len(prefix) + 1 :]: len(metadata.partitions_for_topic(name)) for name in sorted(names)}


async def read_topics(servers: str, prefix: str, topics: Iterable[str] | None = None) -> list[StoredRecord]:
    """All committed records, by topic, partition and offset (`topics`: only these, without the prefix)."""
    known = await topics_of(servers, prefix)
    wanted = {name: known[name] for name in (known if topics is None else topics)}
    ends = await ends_of(servers, prefix, wanted)
    found: list[StoredRecord] = []
    async with _consumer(servers, isolation_level="read_committed") as consumer, asyncio.timeout(_SECONDS):
        waiting = {TopicPartition(f"{prefix}.{name}", n): end for name in ends for n, end in enumerate(ends[name])}
        consumer.assign(list(waiting))
        while waiting:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    place = record.topic[len(prefix) + 1 :], record.partition, record.offset
                    found.append(
                        StoredRecord(*place, record.key, record.value, tuple(record.headers), record.timestamp)
                    )
            # By position: the last offsets hold no record where a transaction ended.
            for each in [each for each, end in waiting.items() if await consumer.position(each) >= end]:
                del waiting[each]
                consumer.pause(each)
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


async def ends_of(
    servers: str, prefix: str, topics: Mapping[str, int], *, open_too: bool = False
) -> dict[str, list[int]]:
    """Where each partition ends for who reads committed records; `open_too`: open transactions included."""
    level = "read_uncommitted" if open_too else "read_committed"
    async with _consumer(servers, isolation_level=level) as consumer:
        asked = [TopicPartition(f"{prefix}.{name}", n) for name, count in topics.items() for n in range(count)]
        ends = await consumer.end_offsets(asked)
    return {name: [ends[TopicPartition(f"{prefix}.{name}", n)] for n in range(count)] for name, count in topics.items()}


async def abort_open_transactions(servers: str, prefix: str) -> None:
    """End the transactions that killed workers left open, as their next owners would."""
    topics = await topics_of(servers, prefix)
    committed, all_ends = await ends_of(servers, prefix, topics), await ends_of(servers, prefix, topics, open_too=True)
    for name in topics:
        for number, (end, last) in enumerate(zip(committed[name], all_ends[name], strict=True)):
            if end != last:
                producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"{prefix}.{name}-{number}")
                await producer.start()
                await producer.stop()


async def committed_of(servers: str, group: str) -> dict[tuple[str, int], tuple[int, str]]:
    """By topic and partition, what a group has committed: offset and metadata."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        offsets = await client.list_consumer_group_offsets(group)
    finally:
        await client.close()
    return {(tp.topic, tp.partition): (each.offset, each.metadata) for tp, each in offsets.items() if each.offset >= 0}


async def commit(servers: str, group: str, offsets: Mapping[tuple[str, int], tuple[int, str]]) -> None:
    """Commit for a group that has no members."""
    wanted = {TopicPartition(*tp): OffsetAndMetadata(offset, metadata) for tp, (offset, metadata) in offsets.items()}
    async with _consumer(servers, group_id=group) as consumer:
        consumer.assign(list(wanted))
        await consumer.commit(wanted)


async def keep_for_ever(servers: str, names: Iterable[str]) -> None:
    """Let no age delete records of these topics (full names)."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "-1"}) for name in names]
        for answer in await client.alter_configs(wanted):
            assert all(error == 0 for error, *_ in answer.resources), answer
    finally:
        await client.close()


async def restore(servers: str, prefix: str, records: Iterable[StoredRecord], ends: Mapping[str, list[int]]) -> None:
    """Write records to the empty topics, each at its offset."""
    by_partition: dict[tuple[str, int], list[StoredRecord]] = defaultdict(list)
    for record in records:
        by_partition[record.topic, record.partition].append(record)
    partitions = [(topic, number, end) for topic, each in ends.items() for number, end in enumerate(each) if end]
    await asyncio.gather(
        *(
            _restore(servers, f"{prefix}.{topic}", number, list(steps(by_partition[topic, number], end)))
            for topic, number, end in partitions
        )
    )


async def produce(servers: str, prefix: str, records: Iterable[StoredRecord]) -> None:
    """Write records in their order behind what stands on their topics."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True)
    await producer.start()
    try:
        for record in records:
            await producer.send_and_wait(
                f"{prefix}.{record.topic}",
                record.value,
                key=record.key,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
    finally:
        await producer.stop()


Step = tuple[str, Sequence[StoredRecord | None]]
"""plain, committed or aborted; the records (None: a filler)."""


def steps(records: Sequence[StoredRecord], end: int) -> Iterator[Step]:
    """How to fill the offsets before `end`."""
    position = 0
    for group in (*_contiguous(records), ()):
        first = group[0].offset if group else end
        assert first != position + 1, "a single offset without a record can only end a transaction"
        if first > position:
            yield "aborted", [None] * (first - position - 1)
        if group:
            after = group[-1].offset + 1
            following = next((each.offset for each in records if each.offset >= after), end)
            # A gap of 2 is an aborted transaction of one record: these records were in none.
            ended = following - after not in (0, 2)
            yield "committed" if ended else "plain", group
            position = after + ended


def _contiguous(records: Sequence[StoredRecord]) -> Iterator[Sequence[StoredRecord]]:
    group: list[StoredRecord] = []
    for record in records:
        if group and record.offset != group[-1].offset + 1:
            yield group
            group = []
        group.append(record)
    if group:
        yield group


async def _restore(servers: str, topic: str, partition: int, wanted: Sequence[Step]) -> None:
    plain = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True)
    in_transactions = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"restored-{topic}-{partition}")
    kinds = {kind for kind, _ in wanted}
    needed = [*([plain] if "plain" in kinds else []), *([in_transactions] if kinds - {"plain"} else [])]
    position = 0
    try:
        for producer in needed:
            await producer.start()
        for kind, records in wanted:
            if kind == "plain":
                await _until_end(servers, TopicPartition(topic, partition), position)
            position += len(records) + (kind != "plain")
            if kind == "plain":
                await _write(plain, topic, partition, records)
                continue
            await in_transactions.begin_transaction()
            await _write(in_transactions, topic, partition, records)
            if kind == "committed":
                await in_transactions.commit_transaction()
            else:
                await in_transactions.abort_transaction()
        await _until_end(servers, TopicPartition(topic, partition), position)
    finally:
        for producer in (plain, in_transactions):
            await producer.stop()


async def _until_end(servers: str, partition: TopicPartition, position: int) -> None:
    """Wait until the partition ends there: a commit is answered before its control record stands on the topic."""
    async with _consumer(servers, isolation_level="read_committed") as consumer, asyncio.timeout(_SECONDS):
        while (await consumer.end_offsets([partition]))[partition] != position:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _write(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[StoredRecord | None]
) -> None:
    sent = []
    for record in records:
        if record is None:
            key, value = _FILLER
            sent.append(await producer.send(topic, value, key=key, partition=partition))
            continue
        sent.append(
            await producer.send(
                topic,
                record.value,
                key=record.key,
                partition=partition,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
        )
    for written, record in zip(await asyncio.gather(*sent), records, strict=True):
        assert record is None or written.offset == record.offset, f"{topic}/{partition}: {record} at {written.offset}"


@asynccontextmanager
async def _consumer(servers: str, **options: Any) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest", **options
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
