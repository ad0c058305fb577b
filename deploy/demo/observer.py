"""Watches the pipeline from outside: the topics as any reader may, and what the portals hold."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer

from schemas import SchemaRegistry
from streams.calls.result import CallResult
from streams.settings import Settings

POLL_SECONDS = 0.5


@dataclass(slots=True)
class Observer:
    """What has been seen so far."""

    settings: Settings
    portals: dict[str, str]
    """Name of a portal: its address."""
    captured: int = 0
    results: dict[str, CallResult] = field(default_factory=dict)
    """Newest version of each call, by linkedid."""
    result_records: int = 0
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def watch(self) -> None:
        """Run until cancelled."""
        await asyncio.gather(self._topics(), *(self._portal(name, url) for name, url in self.portals.items()))

    async def _topics(self) -> None:
        kafka = self.settings.kafka
        cel, results, dead = (kafka.topic(name) for name in ("cel", "call-results", "dead-letters"))
        consumer = AIOKafkaConsumer(
            cel, results, dead, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest",
            metadata_max_age_ms=5000,
        )  # fmt: skip
        await consumer.start()
        try:
            async with SchemaRegistry(self.settings.registry.url) as registry:
                reader = await registry.reader({results: "call_result", dead: "dead_letter"})
                async for record in consumer:
                    if record.topic == cel:
                        self.captured += 1
                    elif record.topic == results:
                        self._result(CallResult.from_record(await reader.read(record.value, "call_result")))
                    else:
                        self.dead_letters.append(await reader.read(record.value, "dead_letter"))
        finally:
            await consumer.stop()

    def _result(self, result: CallResult) -> None:
        self.result_records += 1
        known = self.results.get(result.linkedid)
        if known is None or result.version >= known.version:
            self.results[result.linkedid] = result

    async def _portal(self, name: str, url: str) -> None:
        self.entries[name] = []
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{url}/_fake/entries") as answer:
                    found = await answer.json()
                self.entries[name] = found["entries"] if isinstance(found, dict) else found
                await asyncio.sleep(POLL_SECONDS)
