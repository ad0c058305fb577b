"""An installation with fake portals: results straight onto the topic, and what the portals and the log then hold."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal, WebhookPortal
from deploy.fake_crms.webhook import FAKE_SECRET
from schemas import MalformedRecord, SchemaRegistry, Serializer, own_headers, written_as
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.delivery.portal_records import PortalState
from streams.delivery.record import Delivery, State
from streams.kafka.bounded_reader import BoundedReader
from streams.kafka.fenced_log import FencedLog
from tests.brokers import brokers
from tests.crm.calls import call_result
from tests.worker_installation import Installation, Tail

RECORDINGS = "https://pbx.example.com/recordings"
"""The address of recordings, where nobody is."""

Produce = Callable[[CallResult | bytes | None], Awaitable[Awaitable[object]]]


def recent(number: int, **fields: Any) -> CallResult:
    """A call of an hour ago."""
    started = utc_now_us() - 3600 * MICROS_PER_SECOND
    return call_result(number, **{"started_at": started, "ended_at": started + 70 * MICROS_PER_SECOND, **fields})


def some_results(count: int, seed: int = 1) -> list[CallResult]:
    """External calls of every kind."""
    rng = random.Random(seed)
    results = []
    for number in range(1, count + 1):
        answered = rng.random() < 0.6
        fields: dict[str, Any] = {
            "direction": rng.choice(("incoming", "outgoing")),
            "answered": answered,
            "result": 200 if answered else rng.choice((408, 480, 486, 404, 603, 500)),
            "talk_seconds": rng.uniform(1, 300) if answered else None,
            "client": f"+7916{number:07d}",
            "caller": f"+7916{number:07d}",
        }
        results.append(recent(number, **fields))
    return results


@dataclass
class CrmInstallation(Installation):
    """An installation for a delivery worker; `portal_fields` go into the portal's settings."""

    crm: str = "bitrix24"
    portal_fields: dict[str, Any] = field(default_factory=dict)
    deliver_from: str | None = "2020-01-01T00:00:00Z"
    recordings: bool = False
    """Whether answered calls have recordings; see `record`."""
    other_portals: list[dict[str, Any]] = field(default_factory=list)
    """Further portals of the workers that this one starts."""
    _portal: Portal | None = None

    @property
    def portal(self) -> Portal:
        """The fake portal, without limits."""
        assert self._portal is not None
        return self._portal

    @property
    def tree(self) -> dict[str, Any]:
        """See Installation."""
        fields: dict[str, Any] = {
            "name": "main",
            "crm": self.crm,
            "default_user": "1",
            "users": {"1001": "11"},
            "rate_limit": {"burst": 1000, "per_second": 1000},
            "request_timeout_seconds": 2,
            "settle_seconds": 1,
            "deliver_from": self.deliver_from,
            **self.portal_fields,
        }
        if isinstance(self._portal, Bitrix24Portal):
            fields |= {"url": self._portal.url, "token_file": self._secret("token", "fake-access-token")}
        elif isinstance(self._portal, KommoPortal):
            fields |= {"url": self._portal.url, "token_file": self._secret("token", "fake-long-lived-token")}
        elif isinstance(self._portal, WebhookPortal):
            fields = {"url": self._portal.webhook_url, "allow_private": True, **fields}
            fields["secret_file"] = self._secret("secret", FAKE_SECRET)
        recordings = [self._recordings] if self.recordings else []
        return {**super().tree, "portals": [fields, *self.other_portals], "recordings": recordings}

    @property
    def _recordings(self) -> dict[str, Any]:
        folder, key = self.directory / "recordings", self.directory / "recordings.key"
        if not folder.exists():
            folder.mkdir()
            key.touch(0o600)
            key.write_text("k" * 40, encoding="utf-8")
        file = {"folder": str(folder), "file": "{linkedid}.wav"}
        return {**file, "link": RECORDINGS, "link_key_file": str(key), "give_up_hours": 0.01}

    def record(self, results: Iterable[CallResult]) -> None:
        """Write the recordings of calls, as if long ago."""
        for result in results:
            file = Path(self._recordings["folder"]) / f"{result.linkedid}.wav"
            file.write_bytes(b"RIFF" + bytes(100))
            os.utime(file, (1_700_000_000, 1_700_000_000))

    def _secret(self, name: str, value: str) -> str:
        path: Path = self.directory / name
        if not path.exists():  # a worker may be reading it
            path.touch(0o600)
            path.write_text(value, encoding="utf-8")
        return str(path)

    async def __aenter__(self) -> Self:
        if self.crm == "bitrix24":
            self._portal = Bitrix24Portal(Bitrix24Config(bucket_size=0))
        elif self.crm == "webhook":
            self._portal = WebhookPortal()
        else:
            self._portal = KommoPortal(KommoConfig(requests_per_second=0, known_clients=True))
        await self._portal.start()
        await super().__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        await self.portal.stop()

    async def serializer(self) -> Serializer:
        """See Installation."""
        async with SchemaRegistry(self.registry_url) as registry:
            return await registry.register(
                {
                    self.topic("call-results"): "call_result",
                    self.topic(f"deliveries-{self.crm}"): "delivery",
                    self.topic("portal-states"): "portal_state",
                    self.topic("dead-letters"): "dead_letter",
                }
            )

    async def produce_results(
        self,
        results: Iterable[CallResult | bytes | None],
        per_second: float | None = None,
        origin: str = "live",
    ) -> None:
        """Write results to their topic, as the aggregate worker does (bytes and None as they are)."""
        async with self.results_producer(origin) as produce:
            sent = []
            for number, result in enumerate(results):
                if per_second and number % 20 == 0:
                    await asyncio.sleep(20 / per_second)
                sent.append(await produce(result))
            await asyncio.gather(*sent)

    @asynccontextmanager
    async def results_producer(self, origin: str = "live") -> "AsyncIterator[Produce]":
        """Writes one result; what it returns ends when the brokers have it."""
        headers = [*own_headers("call_result"), ("origin", origin.encode())]
        serializer = await self.serializer()
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers, linger_ms=5)
        await producer.start()
        topic = self.topic("call-results")

        async def produce(result: CallResult | bytes | None) -> Awaitable[object]:
            if isinstance(result, CallResult):
                value: bytes | None = serializer.encode("call_result", result.record())
                key = result.call_id.encode()
            else:
                key, value = b"poison", result
            sent: Awaitable[object] = await producer.send(topic, value, key=key, headers=headers)
            return sent

        try:
            yield produce
        finally:
            await producer.stop()

    async def deliveries(self) -> dict[str, Delivery]:
        """The last state of every call in the log; what cannot be read is left out."""
        return await DeliveryLogView(self).look()

    async def portal_states(self) -> dict[str, PortalState]:
        """What is recorded of portals, by key."""
        serializer = await self.serializer()
        log = FencedLog(brokers(self.bootstrap_servers), self.topic("portal-states"), 0, "reader")
        return {
            key.decode(): PortalState.from_record(serializer.decode(value, "portal_state"))
            for key, value in (await log.read()).items()
        }

    async def until_delivered(self, results: Iterable[CallResult], seconds: float = 90.0) -> None:
        """Wait until each call stands in the portal and is over in the log; then check: once each, as it should be."""
        wanted = {result.call_id: result for result in results}
        began = asyncio.get_running_loop().time()
        while not set(wanted) <= {str(entry.external_id) for entry in self.portal.entries()}:
            if asyncio.get_running_loop().time() - began > seconds:
                break
            await asyncio.sleep(0.1)
        await self.until_over(wanted, began + seconds - asyncio.get_running_loop().time())
        self.check(wanted)

    async def until_over(self, calls: Collection[str], seconds: float = 90.0) -> None:
        """Wait until nothing more is to be done for these calls, as the log has it."""
        wanted = set(calls)
        try:
            async with asyncio.timeout(seconds):
                while await self._unfinished(wanted):  # noqa: ASYNC110
                    await asyncio.sleep(0.3)
        except TimeoutError:
            unfinished = await self._unfinished(wanted)
            raise AssertionError(f"{len(unfinished)} of {len(wanted)} calls are not over: {unfinished[:3]}") from None

    async def no_dead_letters(self) -> None:
        """Check that no call was given up."""
        serializer = await self.serializer()
        async with Tail(self.bootstrap_servers, self.topic("dead-letters")) as dead:
            letters = [serializer.decode(record.value, "dead_letter") for record in await dead.everything()]
        assert [letter["explanation"] for letter in letters] == []

    async def _unfinished(self, wanted: set[str]) -> list[object]:
        deliveries = await self.deliveries()
        return [deliveries.get(call, call) for call in wanted if call not in deliveries or not deliveries[call].over]

    def check(self, wanted: dict[str, CallResult]) -> None:
        """Each call once, with duration and direction as its result has them."""
        entries = self.portal.entries()
        ids = [str(entry.external_id) for entry in entries]
        assert sorted(ids) == sorted(wanted), "doubled, lost or strange entries"
        for entry in entries:
            result = wanted[str(entry.external_id)]
            assert entry.phone == result.client
            assert entry.direction == result.direction
            assert entry.successful == result.answered or entry.status == "404"
            assert not entry.popup

    async def until_state(self, call_id: str, state: State, seconds: float = 60.0) -> Delivery:
        """Wait until the log has a call in this state."""
        async with asyncio.timeout(seconds):
            while True:
                delivery = (await self.deliveries()).get(call_id)
                if delivery is not None and delivery.state is state:
                    return delivery
                await asyncio.sleep(0.3)


class DeliveryLogView:
    """What a delivery log says of each call. Whoever looks again and again reads what came since: beside fakes and
    faults in the same process, the whole log at every look would keep the fakes from answering."""

    def __init__(self, installation: CrmInstallation) -> None:
        self._kafka = brokers(installation.bootstrap_servers)
        self._reader = SchemaRegistry(installation.registry_url).reader(["delivery"])
        topic = installation.topic(f"deliveries-{installation.crm}")
        self._partitions = [TopicPartition(topic, number) for number in range(installation.partitions)]
        self._next: dict[TopicPartition, int] = {}
        self._known: dict[str, Delivery] = {}

    async def look(self) -> dict[str, Delivery]:
        """The last state of every call as of now; what cannot be read is left out."""
        changed: dict[bytes, ConsumerRecord] = {}
        async with BoundedReader(self._kafka) as reader:
            async for records in reader.read(self._partitions, starts=self._next):
                changed |= {record.key: record for record in records}
                self._next[TopicPartition(records[-1].topic, records[-1].partition)] = records[-1].offset + 1
        for number, (key, record) in enumerate(changed.items()):
            if number % 100 == 0:
                await asyncio.sleep(0)
            self._known.pop(key.decode(), None)
            with contextlib.suppress(MalformedRecord):  # a tombstone too
                fields = self._reader.decode_own(record.value, "delivery", written_as(record.headers))
                self._known[key.decode()] = Delivery.from_record(fields)
        return self._known
