"""Watches the pipeline from outside: the topics as any reader may, and what the portals hold."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from schemas import Serializer, written_as
from streams.calls.result import CallResult
from streams.http.service import schema_registry
from streams.kafka.topic_client import KafkaTopics, TopicRecord
from streams.settings import Settings
from streams.topics import CALL_RESULTS, CEL, DEAD_LETTERS, Topic

POLL_SECONDS = 0.5


@dataclass(slots=True)
class Observer:
    """Everything that has been seen so far."""

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
        watched = {kafka.topic(each): each for each in (CEL, CALL_RESULTS, DEAD_LETTERS)}
        positions: dict[str, dict[int, int]] = {name: {} for name in watched}
        async with (
            KafkaTopics(kafka) as topics,
            schema_registry(self.settings.registry) as registry,
        ):
            reader = registry.reader(topic.schema for topic in watched.values() if topic.schema)
            while True:
                for name, topic in watched.items():
                    async for record in topics.read(name, start=positions[name]):
                        positions[name][record.partition] = record.offset + 1
                        await self._record(topic, record, reader)
                await asyncio.sleep(POLL_SECONDS)

    async def _record(self, topic: Topic, record: TopicRecord, reader: Serializer) -> None:
        if topic == CEL:
            self.captured += 1
            return
        fields = await reader.read(record.value, topic.schema, written_as(record.headers))
        if topic == CALL_RESULTS:
            self._result(CallResult.from_record(fields))
        else:
            self.dead_letters.append(fields)

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
