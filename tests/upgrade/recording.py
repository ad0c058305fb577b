"""The installation while it is made: calls inserted as a PBX does, what the topics hold, workers killed."""

import asyncio
import json
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner

from tests.upgrade import brokers
from tests.upgrade.calls import Capture, PlannedCall
from tests.upgrade.installation import FakePortals, Installation, until
from tests.upgrade.stored import StoredRecord

CRM_OF = {"office": "bitrix24", "sales": "kommo", "receiver": "webhook"}
"""The portals that get the calls of pbx1; those of pbx2 go to `closed`, a webhook as well."""

Row = Mapping[str, str]


class Recording:
    """Use `watching` around everything. Topics are named without their prefix."""

    def __init__(self, servers: str, portals: FakePortals, installation: Installation) -> None:
        self.servers = servers
        self.portals = portals
        self.installation = installation
        self.prefix: str = installation.settings["kafka"]["topic_prefix"]
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.calls: dict[str, PlannedCall] = {}
        self.expected: dict[str, dict[str, str | None]] = {}
        """By call the portals that know it: the template whose status it has there, or None: skipped."""
        self.seen: dict[str, list[ConsumerRecord]] = defaultdict(list)
        """What is committed, by topic."""
        self.later: list[StoredRecord] = []
        self._capture = Capture()
        self._producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=0)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep `seen` up to date; rows can be inserted."""
        await self._producer.start()
        options = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, **options)
        await consumer.start()
        topics = await brokers.topics_of(self.servers, self.prefix)
        consumer.subscribe([f"{self.prefix}.{name}" for name in topics])

        async def watch() -> None:
            async for record in consumer:
                self.seen[record.topic[len(self.prefix) + 1 :]].append(record)

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await consumer.stop()
            await self._producer.stop()

    # Workers.

    async def start(self, *names: str) -> None:
        """Start workers, and wait until they have their partitions."""
        started = {name: self.installation.start(name) for name in names}
        self.workers |= started
        await self.installation.until_taken_over(started)

    async def kill(self, *names: str) -> None:
        """SIGKILL: nothing is tidied up or committed."""
        for name in names:
            self.workers[name].send_signal(signal.SIGKILL)
        for name in names:
            await asyncio.to_thread(self.workers[name].wait)

    # Calls.

    def plan(self, call: PlannedCall, **portals: str | None) -> PlannedCall:
        """Remember a call and what is expected of it: by default an entry at each portal of its PBX."""
        self.calls[call.name] = call
        wanted: dict[str, str | None] = dict.fromkeys(CRM_OF if call.pbx == "pbx1" else ["closed"], call.template)
        self.expected[call.name] = wanted | portals
        return call

    async def insert(self, call: PlannedCall, rows: Sequence[Row] | None = None) -> tuple[int, int]:
        """The PBX writes rows (default: all of the call): their partition, and the offset of the last one."""
        partition = offset = -1
        for key, value, now in self._capture.records(call.rows if rows is None else rows, call.pbx):
            sent = await self._producer.send_and_wait(f"{self.prefix}.cel", value, key=key, timestamp_ms=now)
            partition, offset = sent.partition, sent.offset
        return partition, offset

    async def insert_unreadable(self, key: bytes) -> None:
        """A record that is not a row."""
        await self._producer.send_and_wait(f"{self.prefix}.cel", b"not a row", key=key)

    def insert_later(self, call: PlannedCall, rows: Sequence[Row] | None = None) -> None:
        """Rows that the PBX writes after the upgrade."""
        for key, value, now in self._capture.records(call.rows if rows is None else rows, call.pbx):
            self.later.append(StoredRecord("cel", self.partition_of(call), 0, key, value, (), now))

    def partition_of(self, call: PlannedCall) -> int:
        """Where a call's rows are."""
        known = list(range(self.installation.settings["kafka"]["partitions"]))
        return int(DefaultPartitioner()(call.linkedid.encode(), known, known))

    # What has happened.

    async def until_known(self, topic: str, key: bytes, seconds: float = 60.0) -> None:
        """Wait until a topic has a record with this key."""

        def known() -> bool:
            return any(record.key == key for record in self.seen[topic])

        await until(known, f"{key!r} on {topic}", seconds)

    async def until_logged(self, call: PlannedCall, seconds: float = 60.0) -> None:
        """Wait until the delivery log of each CRM that gets the call has it."""
        crms = {CRM_OF.get(portal, "webhook") for portal in self.expected[call.name]}
        for crm in sorted(crms):
            await self.until_known(f"deliveries-{crm}", call.call_id.encode(), seconds)

    async def until_in_portals(self, *calls: PlannedCall) -> None:
        """Wait until these calls stand in every portal that is to have them, and in every log."""
        for call in calls:
            await self.until_logged(call)
            for portal, template in self.expected[call.name].items():
                if template is not None:
                    await until(self._stands(call, portal), f"{call.name} in {portal}")

    def _stands(self, call: PlannedCall, portal: str) -> Callable[[], bool]:
        return lambda: call.call_id in self.portals.external_ids(portal)

    async def until_letters(self, count: int) -> None:
        """Wait for dead letters."""
        await until(lambda: len(self.seen["dead-letters"]) >= count, f"{count} dead letters")

    async def committed(self, partition: int) -> tuple[int, int]:
        """What the aggregate worker has committed: its marker's offset, and the offset from which rows are read."""
        committed = await brokers.committed_of(self.servers, f"{self.prefix}.aggregate")
        offset, metadata = committed.get((f"{self.prefix}.cel", partition), (0, '{"f": 0}'))
        return json.loads(metadata)["f"], offset

    async def state(self, name: str, crm: str) -> dict[str, Any]:
        """A call's delivery as `cel2crm deliveries` tells it."""
        call_id = self.calls[name].call_id
        told: dict[str, Any] = json.loads(await self.installation.run("deliveries", call_id, "--crm", crm, "--json"))
        return told

    def status(self, name: str, portal: str) -> str:
        """What a portal shows of a call."""
        call_id = self.calls[name].call_id
        (entry,) = [each for each in self.portals.by_name[portal].entries() if each.external_id == call_id]
        return entry.status
