"""The schema registry under a running worker: emptied, it gets the schemas anew, and the operator is told."""

import asyncio

import pytest
from structlog.testing import capture_logs

from schemas import NoRegistry, SchemaRegistry, Serializer, load
from schemas.codec import unframe
from schemas.source import Schema
from streams.kafka.schema_registry import watch_registry
from tests.schemas.test_codec import LETTER

TOPICS = {"cel2crm.call-results": "call_result", "cel2crm.dead-letters": "dead_letter"}


class Registry(SchemaRegistry):
    """A registry without a server, which may be emptied, or away."""

    def __init__(self) -> None:
        super().__init__("http://nowhere")
        self.ids: dict[int, Schema] = {}
        self.away = False
        self.asked = 0
        self.watched_long = asyncio.Event()
        """Every id was asked for more than twice."""

    def empty(self, *first: str) -> None:
        """Forget everything; these schemas are the first ones that are registered afterwards."""
        self.ids = {number: load(name) for number, name in enumerate(first, start=1)}

    async def register_schema(self, topic: str, name: str) -> int:
        found = next((number for number, schema in self.ids.items() if schema == load(name)), None)
        self.ids[found or len(self.ids) + 1] = load(name)
        return found or len(self.ids)

    async def versions(self, topic: str) -> list[tuple[int, Schema]]:
        return [(number, each) for number, each in self.ids.items() if each == load(TOPICS[topic])]

    async def schema(self, schema_id: int) -> Schema | None:
        self.asked += 1
        if self.asked > 6:
            self.watched_long.set()
        if self.away:
            raise NoRegistry("no schema registry")
        return self.ids.get(schema_id)


async def watched(registry: Registry) -> tuple[Serializer, list[str]]:
    """A serializer that was registered, watched for some rounds after the registry lost it; what was logged."""
    serializer = await registry.register(TOPICS)
    registry.empty(*(("delivery", "call_leg") if not registry.away else TOPICS.values()))
    with capture_logs() as logged:
        watch = asyncio.ensure_future(watch_registry(serializer, every_seconds=0.001))
        async with asyncio.timeout(10):
            await registry.watched_long.wait()
        watch.cancel()
        await asyncio.wait([watch])
    return serializer, [str(line) for line in logged]


async def test_an_emptied_registry_gets_the_schemas_anew_and_what_is_written_bears_their_ids() -> None:
    registry = Registry()
    serializer, [told] = await watched(registry)
    schema_id, _ = unframe(serializer.encode("dead_letter", LETTER))
    assert registry.ids[schema_id] == load("dead_letter")
    assert "emptied or replaced while the worker ran" in told
    assert "became cel2crm.Delivery" in told and "remedy" in told
    assert serializer.decode(serializer.encode("dead_letter", LETTER)) == LETTER


async def test_a_registry_that_is_away_or_unchanged_is_not_told() -> None:
    registry = Registry()
    registry.away = True
    _, told = await watched(registry)
    assert told == []
    registry.away = False
    serializer = await registry.register(TOPICS)
    assert await serializer.register_again() == []


async def test_a_refusal_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, refused = Registry(), [True, True]

    async def register_schema(topic: str, name: str) -> int:
        if refused:
            refused.pop()
            raise RuntimeError("not a refusal of the registry")
        return await Registry.register_schema(registry, topic, name)

    serializer = await registry.register(TOPICS)
    registry.empty()
    monkeypatch.setattr(registry, "register_schema", register_schema)
    with pytest.raises(RuntimeError):
        await serializer.register_again()
    refused.clear()
    assert [each.now for each in await serializer.register_again()] == [None, None]
    assert len(registry.ids) == 2
