"""Finished calls in a delivery log: what their take-over costs a worker, and what each takes in its memory.

By real workers on a real broker: one and the same finished Bitrix24 call again and again under ids of its own, once
with digests and once as before, without; the smallest number also one record a batch, as a worker writes that keeps up
with its calls; and an empty log, whose costs are taken off. And the index alone, without
Kafka: `python -m tests.bench.finished table|dict CALLS` prints one JSON line; `dict` is the index of before.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from msgspec.structs import replace
from rich.table import Table

from schemas import written_as
from streams.delivery.digest import DIGEST, digest_of
from streams.delivery.record import Delivery, State
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.topic_client import partition_of
from streams.workers.deliver.finished_calls import FinishedCalls
from tests.bench.portals import many_results, run_subject
from tests.brokers import brokers
from tests.calls.hashed import hashed
from tests.workers.deliver.crm_installation import CrmInstallation

CALLS = (100_000,)
TARGET_CPU_SECONDS, TARGET_MB = 8.0, 150.0
"""Of a million calls with digests, above an empty worker; of other numbers in proportion."""
_CRM = "bitrix24"
_IN_FLIGHT = 20_000
_ALONE = 100_000
"""At most so many are written one record a batch, which takes its time."""

Figures = dict[str, Any]


async def measure(
    servers: str, registry: str, directory: Path, sizes: Sequence[int], say: Callable[[str], None]
) -> Any:
    """The index alone, then workers."""
    index = [_index(what, max(sizes)) for what in INDEXES]
    say("taking over an empty log")
    async with _installation(servers, registry, directory, "none") as installation:
        empty = await run_subject("finished", installation, 0)
    taken = []
    for number, records in enumerate(_records(sizes)):
        say(f"writing {records.calls:,} finished calls")
        async with _installation(servers, registry, directory, f"{number}") as installation:
            await _fill(installation, records)
            say(f"taking over {records.calls:,} finished calls")
            taken.append({**records._asdict(), **await run_subject("finished", installation, records.calls)})
    return {"index": index, "empty": empty, "taken over": taken}


class _Records(NamedTuple):
    """What stands in a log."""

    calls: int
    digests: bool
    batch_bytes: int = 16_384
    """Of the records that are written together; 1: each alone."""


def _records(sizes: Sequence[int]) -> Iterator[_Records]:
    yield _Records(min(*sizes, _ALONE), digests=False, batch_bytes=1)
    yield _Records(min(*sizes, _ALONE), digests=True, batch_bytes=1)
    for calls in sizes:
        yield _Records(calls, digests=False)
        yield _Records(calls, digests=True)


def _installation(servers: str, registry: str, directory: Path, name: str) -> CrmInstallation:
    installation = CrmInstallation(servers, registry, directory / name, f"bench-finished-{name}".lower(), partitions=6)
    installation.directory.mkdir()
    installation.crm = _CRM
    return installation


class _Template(NamedTuple):
    """A record of the log, and the delivery in it."""

    key: bytes
    value: bytes
    schema_header: bytes
    delivery: Delivery


async def _fill(installation: CrmInstallation, records: _Records) -> None:
    """Copies of a call that a worker delivered, as a worker of today or of before would have written them."""
    template = await _delivered(installation)
    linkedid = template.delivery.call_id.partition("/")[2].encode()
    topic, sent = installation.topic(f"deliveries-{_CRM}"), list[asyncio.Future[Any]]()
    servers, batch_bytes = installation.bootstrap_servers, records.batch_bytes
    async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=50, max_batch_size=batch_bytes) as producer:
        for number in range(1, records.calls):
            own = b"%s.%07d" % (linkedid.partition(b".")[0], number)
            key, value = template.key.replace(linkedid, own), template.value.replace(linkedid, own)
            headers = [("schema", template.schema_header)]
            if records.digests:
                headers.append((DIGEST, digest_of(template.delivery, key, value) or b""))
            place = partition_of(key, installation.partitions)
            sent.append(await producer.send(topic, value, key=key, partition=place, headers=headers))
            if len(sent) >= _IN_FLIGHT:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)


async def _delivered(installation: CrmInstallation) -> _Template:
    """A call that a worker brought into the portal, as its last record tells it."""
    result = next(many_results(1))
    linkedid = f"{result.linkedid.partition('.')[0]}.{0:07d}"
    result = hashed(replace(result, linkedid=linkedid, call_id=f"pbx1/{linkedid}"))
    worker = installation.start_worker(_CRM)
    await installation.produce_results([result])
    delivery = await installation.until_state(result.call_id, State.DELIVERED)
    worker.terminate()
    await asyncio.to_thread(worker.wait, 30)
    key, topic = result.call_id.encode(), installation.topic(f"deliveries-{_CRM}")
    async with BoundedReader(brokers(installation.bootstrap_servers)) as reader:
        partition = TopicPartition(topic, partition_of(key, installation.partitions))
        *_, last = [record async for records in reader.read([partition]) for record in records if record.key == key]
    return _Template(key, last.value, written_as(last.headers) or b"", delivery)


# The index alone.


def measure_table(calls: int) -> Figures:
    """As it is: a table of bytes."""
    table = FinishedCalls()
    return _filled(calls, lambda key, number: table.put(key, number << 20, 0, number, number))


def measure_dict(calls: int) -> Figures:
    """As it was: 32 bytes by the text of the call's id."""
    known: dict[str, bytes] = {}

    def put(key: bytes, number: int) -> None:
        call_id = key.decode()
        known.pop(call_id, None)
        known[call_id] = number.to_bytes(32, "big")

    return _filled(calls, put)


INDEXES: dict[str, Callable[[int], Figures]] = {"dict": measure_dict, "table": measure_table}


def _filled(calls: int, put: Callable[[bytes, int], None]) -> Figures:
    before, seconds = _resident(), 0.0
    for first in range(0, calls, 1000):
        keys = [b"pbx1/%d.%07d" % (1_795_390_000, number) for number in range(first, min(calls, first + 1000))]
        begun = time.process_time()
        for number, key in enumerate(keys, first):
            put(key, number)
        seconds += time.process_time() - begun
    return {"calls": calls, "bytes_a_call": (_resident() - before) / calls, "us_a_call": seconds / calls * 1e6}


def _resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _index(what: str, calls: int) -> Figures:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.finished", what, str(calls)]
    ended = subprocess.run(command, capture_output=True, timeout=600, check=False)
    if ended.returncode:
        raise SystemExit(f"{what} could not be measured:\n{ended.stderr.decode(errors='replace')[-2000:]}")
    return {"what": what, **orjson.loads(ended.stdout)}


def index_table(found: Any) -> Table:
    """The index of finished calls, before and now."""
    table = Table("index", "calls", "bytes a call", "CPU us a call", title="Finished calls in memory, pure")
    names = {"dict": "before: a dict", "table": "now: a table of bytes"}
    for each in found["index"]:
        figures = f"{each['bytes_a_call']:,.0f}", f"{each['us_a_call']:.2f}"
        table.add_row(names[each["what"]], f"{each['calls']:,}", *figures)
    return table


def show(found: Any) -> Table:
    """What taking over costs above an empty worker, beside the targets."""
    empty = found["empty"]
    table = Table(
        "finished calls", "records", "a batch", "held after", "CPU", "target", "memory", "target", "peak",
        title=f"Take-over above an empty worker ({empty['cpu_seconds']:.1f} s of CPU, {empty['rss_mb']:.0f} MB)",
    )  # fmt: skip
    for each in found["taken over"]:
        share = each["calls"] / 1_000_000
        cpu, rss, peak = (each[name] - empty[name] for name in ("cpu_seconds", "rss_mb", "peak_mb"))
        targets = (
            (f"{TARGET_CPU_SECONDS * share:.1f} s", f"{TARGET_MB * share:.0f} MB") if each["digests"] else ("", "")
        )
        table.add_row(
            f"{each['calls']:,}", "with digests" if each["digests"] else "decoded",
            "one record" if each["batch_bytes"] == 1 else "16 KB", f"{each['seconds']:.1f} s",
            f"{cpu:.1f} s", targets[0], f"{rss:.0f} MB", targets[1], f"{peak:.0f} MB",
        )  # fmt: skip
    return table


def main() -> None:
    """Measure one index."""
    what, calls = sys.argv[1:]
    sys.stdout.buffer.write(orjson.dumps(INDEXES[what](int(calls))) + b"\n")


if __name__ == "__main__":
    main()
