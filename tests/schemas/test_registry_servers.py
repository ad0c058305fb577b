"""The real registry: our schemas fit it, other versions are read, a change that would break a reader is refused."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

import schemas
from connectors.topics import apply_topics
from deploy.local import LocalStack
from schemas import MalformedRecord, SchemaRegistry, UnknownSchema
from schemas.codec import Encoder
from schemas.headers import header_of
from schemas.registry import COMPATIBILITY
from schemas.source import released
from streams.errors import UserError
from streams.settings import Settings
from tests.connectors.sinking import expected, plain, send, versions
from tests.docs.pages import blocks
from tests.faults.recorded_results import recorded_calls
from tests.schemas.test_codec import LETTER

pytestmark = pytest.mark.servers


def later(name: str = "colour", **field: Any) -> dict[str, Any]:
    schema = schemas.load("dead_letter")
    schema["fields"].append({"name": name, "type": "string", **field})
    return schema


async def post(registry: SchemaRegistry, subject: str, schema: dict[str, Any]) -> int:
    answer = await registry._call("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})
    return int(answer["id"])


async def test_every_schema_is_registered_once_and_carries_records(stack: LocalStack) -> None:
    topics = {f"reg1.{name}": name for name in schemas.names()}
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        first, second = await registry.register(topics), await registry.register(topics)
        for topic in topics:
            assert await registry._call("GET", f"/subjects/{topic}-value/versions") == [1]
            answer = await registry._call("GET", f"/config/{topic}-value")
            assert answer["compatibilityLevel"] == COMPATIBILITY
    value = first.encode("dead_letter", LETTER)
    assert value == second.encode("dead_letter", LETTER)
    assert second.decode(value) == second.decode(value, "dead_letter") == LETTER
    with pytest.raises(MalformedRecord, match="a record of schema dead_letter, where call_result is expected"):
        second.decode(value, "call_result")


async def test_a_registry_of_0_1_0_takes_the_schemas_of_today(stack: LocalStack) -> None:
    """FULL_TRANSITIVE, over every version that was released, and the names for sinks, which are no part of a type."""
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        for name in schemas.names():
            for version in released(name).values():
                await post(registry, f"reg7.{name}-value", version)
        serializer = await registry.register({f"reg7.{name}": name for name in schemas.names()})
        versions = await registry.versions("reg7.call_result")
        assert len(versions) > 1
        named = json.dumps(await registry.schema(serializer._written["reg7.call_result"][1]))
        assert "io.debezium.time.MicroTimestamp" in named
        assert (await registry._call("GET", "/config/reg7.call_result-value"))["compatibilityLevel"] == COMPATIBILITY


async def test_a_newer_writer_is_asked_for_once_and_read(stack: LocalStack) -> None:
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        serializer = await registry.register({"reg2.d": "dead_letter"})
        newer = later(default="red")
        value = Encoder(newer, await post(registry, "reg2.d-value", newer)).encode(LETTER)
        with pytest.raises(UnknownSchema):
            serializer.decode(value)
        header = header_of("dead_letter", newer)
        with pytest.raises(UnknownSchema, match="neither this version of cel2crm nor the registry holds"):
            serializer.decode_own(value, "dead_letter", header)
        assert await serializer.read(value, "dead_letter", header) == LETTER
        assert serializer.decode_own(value, "dead_letter", header) == LETTER
    assert serializer.decode(value) == LETTER
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        assert (await registry.register({"reg2.d": "dead_letter"})).decode(value) == LETTER


async def test_a_reader_registers_nothing_and_reads_what_stands_there(stack: LocalStack) -> None:
    topics = {"reg6.d": "dead_letter", "reg6.never-written": "delivery"}
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        newer = later(default="red")
        value = Encoder(newer, await post(registry, "reg6.d-value", newer)).encode(LETTER)
        before = await registry._call("GET", "/subjects")
        reader = registry.reader(topics.values())
        assert await reader.read(value, "dead_letter", header_of("dead_letter", newer)) == LETTER
        assert await registry._call("GET", "/subjects") == before
        assert await registry._call("GET", "/subjects/reg6.d-value/versions") == [1]


async def test_a_change_that_would_break_a_reader_is_refused(stack: LocalStack) -> None:
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        other = schemas.load("dead_letter")
        other["fields"] = [field for field in other["fields"] if field["name"] != "reason"]
        await post(registry, "reg3.d-value", other)
        with pytest.raises(UserError, match=r"schema dead_letter does not fit the versions of reg3\.d-value") as caught:
            await registry.register({"reg3.d": "dead_letter"})
    assert "reason" in caught.value.problem
    assert "with a default" in caught.value.remedy


async def test_an_unknown_id_is_malformed(stack: LocalStack) -> None:
    async with SchemaRegistry(stack.endpoints.registry_url) as registry:
        serializer = await registry.register({"reg4.d": "dead_letter"})
        with pytest.raises(MalformedRecord, match="schema id 987654 is not in the registry"):
            await serializer.read(b"\x00" + (987654).to_bytes(4, "big"), "dead_letter")


async def test_another_servers_address_is_told(stack: LocalStack) -> None:
    async with SchemaRegistry(stack.endpoints.connect_url) as registry:
        with pytest.raises(UserError, match="answers HTTP 404"):
            await registry.register({"reg5.d": "dead_letter"})


async def test_no_registry_is_one_clear_message() -> None:
    port = unused_port()
    async with SchemaRegistry(f"http://user:hunter2@127.0.0.1:{port}") as registry:
        with pytest.raises(UserError, match=rf"no schema registry at http://127\.0\.0\.1:{port} ") as caught:
            await registry.register({"t": "dead_letter"})
    assert "hunter2" not in str(caught.value)


async def test_the_reader_of_the_page_reads_the_truth_with_times(stack: LocalStack) -> None:
    """The recipe for confluent-kafka, as docs/analytics.md has it."""
    at = stack.endpoints
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": "reader", "partitions": 3},
            "registry": {"url": at.registry_url},
        }
    )
    await apply_topics(settings)
    records = [one for result, _ in recorded_calls()[:20] for one in versions(result, (), result.version, 0)]
    for result, _ in recorded_calls()[:5]:
        records += [*versions(result, (), result.version, 2, queue="sales"), *versions(result, (), result.version, 1)]
    await send(settings, records)
    (recipe,) = blocks("analytics", "### Python: confluent-kafka", "python")
    for told, here in (
        ("http://127.0.0.1:8080/apis/ccompat/v7", at.registry_url),
        ("127.0.0.1:9092", at.bootstrap_servers),
        ("cel2crm.call-results", "reader.call-results"),
    ):
        assert told in recipe
        recipe = recipe.replace(told, here)
    names: dict[str, Any] = {}
    exec(compile(recipe, "docs/analytics.md", "exec"), names)  # noqa: S102
    try:
        taken = 0
        async with asyncio.timeout(60):
            while taken < len(records):
                taken += await asyncio.to_thread(names["take"], 1.0) is not None
    finally:
        names["consumer"].close()
        names["registry"].close()
    found = {call_id: plain(call) for call_id, call in names["truth"].items()}
    truth = {call_id: record for (call_id, _), record in expected(records, "call-results").items()}
    assert found == {call_id: {name: truth[call_id][name] for name in call} for call_id, call in found.items()}
    assert found.keys() == truth.keys()
