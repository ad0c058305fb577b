"""Our own records are read by their header with the versions that are shipped; the registry makes no difference."""

import struct
from typing import Any

import pytest

from schemas import (
    MalformedRecord,
    NoRegistry,
    SchemaRegistry,
    Serializer,
    UnknownSchema,
    load,
    own_header,
    own_headers,
)
from schemas.codec import Encoder, Record
from schemas.headers import header_of, written_as
from schemas.serializer import ChangedId
from schemas.source import WRITTEN_BY_0_1_0, Schema, names, released
from tests.schemas.test_codec import LETTER
from tests.upgrade.stored import DIRECTORY, Stored

RESOLUTION: Record = {
    "partition": 1, "offset": 2, "action": "dropped", "by": "ann", "at": 3, "note": "", "component": "", "reason": "",
    "call_id": None, "command": None,
}  # fmt: skip


class KnownIds(SchemaRegistry):
    """A registry with these schemas, and how often it was asked."""

    def __init__(self, schemas: dict[int, Schema] | None = None) -> None:
        super().__init__("http://nowhere")
        self.schemas = schemas
        self.asked: list[int] = []

    async def schema(self, schema_id: int) -> Schema | None:
        self.asked.append(schema_id)
        if self.schemas is None:
            raise NoRegistry("no schema registry")
        return self.schemas.get(schema_id)


def framed(name: str, record: Record, schema_id: int = 5, version: int | None = None) -> bytes:
    writer = load(name) if version is None else released(name)[version]
    return Encoder(writer, schema_id).encode(record)


@pytest.mark.parametrize("schema_id", [0, 1, 5, 2**32 - 1])
async def test_the_id_makes_no_difference(schema_id: int) -> None:
    registry = KnownIds()
    reader = registry.reader(["dead_letter", "delivery"])
    reader.add_version(1, load("delivery"))
    reader.add_version(5, {"type": "record", "name": "Stranger", "fields": []})
    value = framed("dead_letter", LETTER, schema_id)
    header = written_as(own_headers("dead_letter"))
    assert reader.decode_own(value, "dead_letter", header) == LETTER
    assert await reader.read(value, "dead_letter", header) == LETTER
    assert registry.asked == []


@pytest.mark.parametrize("name", names())
def test_every_version_that_was_ever_written_is_shipped(name: str) -> None:
    reader = KnownIds().reader([name])
    known = {field["name"] for field in load(name)["fields"]}
    for number, writer in released(name).items():
        record = {field["name"]: field.get("default", _any(field["type"])) for field in writer["fields"]}
        value = Encoder(writer, 7).encode(record)
        read = reader.decode_own(value, name, header_of(name, writer))
        assert set(read) == known, number


def _any(kind: Any) -> Any:
    kind = kind["type"] if isinstance(kind, dict) else kind
    return {"string": "x", "boolean": False, "bytes": b"", "array": []}.get(kind if isinstance(kind, str) else "", 0)


def test_records_of_0_1_0_are_read_without_a_header_whatever_their_id() -> None:
    schema_of = {
        "call-results": "call_result", "call-legs": "call_leg", "delivery-commands": "delivery_command",
        "dead-letters": "dead_letter", "dead-letter-resolutions": "dead_letter_resolution",
    }  # fmt: skip
    reader = KnownIds().reader([*schema_of.values(), "delivery"])
    seen = set()
    for record in Stored.load(DIRECTORY).records:
        name = "delivery" if record.topic.startswith("deliveries-") else schema_of.get(record.topic)
        if name is None or record.value is None or record.value[:1] != b"\0":
            continue
        stored = reader.decode_own(record.value, name, written_as(record.headers))
        lost_id = struct.pack(">bI", 0, 77) + record.value[5:]
        assert reader.decode_own(lost_id, name, written_as(record.headers)) == stored
        assert stored.get("correction", 0) == 0
        if name == "delivery" and stored["result"] is not None:
            assert reader.decode_own(stored["result"], "call_result", None)["call_id"] == stored["call_id"]
        seen.add(name)
    assert seen == set(WRITTEN_BY_0_1_0), "each kind of record is among the stored ones"


def test_a_record_of_another_schema_is_not_taken_for_ours() -> None:
    reader = KnownIds().reader(["dead_letter", "dead_letter_resolution"])
    value = framed("dead_letter_resolution", RESOLUTION)
    with pytest.raises(MalformedRecord, match="dead_letter_resolution, where dead_letter is expected"):
        reader.decode_own(value, "dead_letter", own_header("dead_letter_resolution"))
    with pytest.raises(MalformedRecord):
        reader.decode_own(value, "dead_letter", None)


def later() -> Schema:
    schema = load("dead_letter")
    schema["fields"].append({"name": "colour", "type": "string", "default": "red"})
    return schema


async def test_a_later_release_is_read_where_the_registry_still_means_it() -> None:
    header = header_of("dead_letter", later())
    value = Encoder(later(), 9).encode(LETTER)
    assert await KnownIds({9: later()}).reader(["dead_letter"]).read(value, "dead_letter", header) == LETTER
    for schemas, words in (({9: load("dead_letter")}, "its id 9 is there"), ({}, "is not in the registry")):
        reader = KnownIds(schemas).reader(["dead_letter"])
        with pytest.raises(UnknownSchema, match="neither this version of cel2crm nor the registry"):
            reader.decode_own(value, "dead_letter", header)
        with pytest.raises(MalformedRecord, match=words):
            await reader.read(value, "dead_letter", header)


async def test_another_programs_record_without_header_is_read_by_its_id() -> None:
    value = Encoder(later(), 9).encode(LETTER)
    registry = KnownIds({9: later()})
    reader = registry.reader(["dead_letter"])
    assert [await reader.read(value, "dead_letter") for _ in range(3)] == [LETTER] * 3
    assert registry.asked == [9]
    with pytest.raises(MalformedRecord, match="bytes too many"):
        await KnownIds({9: load("dead_letter")}).reader(["dead_letter"]).read(value, "dead_letter")


async def test_ids_that_mean_something_else_now_are_named() -> None:
    registry = KnownIds({1: load("dead_letter"), 2: load("dead_letter_resolution")})
    reader = registry.reader(["dead_letter", "dead_letter_resolution"])
    for schema_id in (1, 2, 3):
        reader.decode_own(framed("dead_letter", LETTER, schema_id), "dead_letter", own_header("dead_letter"))
    was = own_header("dead_letter").decode()
    assert await reader.changed_ids() == [
        ChangedId(2, was, own_header("dead_letter_resolution").decode()),
        ChangedId(3, was, None),
    ]


def test_a_serializer_writes_what_it_can_read_back() -> None:
    serializer = Serializer(KnownIds())
    serializer.add_schema("dead_letter", 3)
    value = serializer.encode("dead_letter", LETTER)
    assert serializer.decode(value, "dead_letter") == LETTER
    assert serializer.decode_own(value, "dead_letter", own_header("dead_letter")) == LETTER
