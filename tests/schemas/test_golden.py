"""A schema change that would break a reader fails here, before it meets a registry.

`schemas/released/<name>.<n>.avsc` are the versions that ever wrote. A change adds the next one; none is edited.
"""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import SchemaParseException
from fastavro.utils import generate_many

import schemas
from schemas.codec import without_logical_types
from schemas.headers import header_of, own_header
from schemas.source import RELEASED, WRITTEN_BY_0_1_0, released

GOLDEN = sorted(RELEASED.glob("*.avsc"))


def broken(writer: Any, reader: Any) -> str | None:
    """Why records of `writer` cannot be read as `reader`; None: they can."""
    if why := changed_fields(writer, reader):
        return why
    try:
        for record in generate_many(fastavro.parse_schema(without_logical_types(writer)), 50):
            buffer = io.BytesIO()
            fastavro.schemaless_writer(buffer, without_logical_types(writer), record)
            buffer.seek(0)
            fastavro.schemaless_reader(buffer, without_logical_types(writer), without_logical_types(reader))
    except (SchemaParseException, ValueError, TypeError) as error:
        return str(error)
    return None


def changed_fields(writer: Any, reader: Any) -> str | None:
    """Why the fields of a record cannot be read as those of another."""
    types = {field["name"]: field["type"] for field in writer["fields"]}
    for field in reader["fields"]:
        if field["name"] not in types and "default" not in field:
            return f"{field['name']} has no default"
        if field["name"] in types and (why := narrowed(types[field["name"]], field["type"])):
            return f"{field['name']}: {why}"
    return None


def narrowed(writer: Any, reader: Any) -> str | None:
    """Union branches that the reader lacks, a unit of time that changed behind the same number. Words may change.

    Records within are compared field by field, as Avro resolves them: by their name.
    """
    written, read = (without_docs(each if isinstance(each, list) else [each]) for each in (writer, reader))
    plain = []
    for branch in written:
        other = next((each for each in read if within(branch) is not None and within(each) == within(branch)), None)
        if other is None:
            plain.append(branch)
        elif why := narrowed(branch["items"], other["items"]) if "items" in branch else changed_fields(branch, other):
            return why
    left = set(map(json.dumps, plain)) - set(map(json.dumps, read))
    return f"{sorted(left)} is not among {sorted(map(json.dumps, read))}" if left else None


def within(branch: Any) -> str | None:
    """By what the two forms of a record, or of an array, are known; None: it is another type."""
    if not isinstance(branch, dict) or branch["type"] not in ("record", "array"):
        return None
    return str(branch.get("name", branch["type"]))


def without_docs(schema: Any) -> Any:
    """A schema, or a part of one, less its explanations and the names by which Kafka Connect's sinks know its types."""
    if isinstance(schema, list):
        return [without_docs(each) for each in schema]
    if isinstance(schema, dict):
        return {name: without_docs(each) for name, each in schema.items() if name != "doc" and "." not in name}
    return schema


@pytest.mark.parametrize("name", schemas.names())
def test_what_is_written_now_is_the_last_released_version(name: str) -> None:
    """A record that nobody can read later must not be written: its schema is shipped."""
    *_, (number, last) = released(name).items()
    assert header_of(name, last) == own_header(name), (
        f"schemas/{name}.avsc has changed: copy it to schemas/released/{name}.{number + 1}.avsc"
    )


FINGERPRINTS_OF_0_1_0 = {
    "call_leg": "35f7817b257e181d",
    "call_result": "fd08f33135b8516a",
    "dead_letter": "697c2f6908521701",
    "dead_letter_resolution": "6257c71908b10054",
    "delivery": "6a9a14181839bec2",
    "delivery_command": "48ca8ce87b012eae",
}


def test_the_versions_by_which_0_1_0_wrote_are_known() -> None:
    shipped = {name: header_of(name, released(name)[number]) for name, number in WRITTEN_BY_0_1_0.items()}
    assert shipped == {name: f"{name}/{print_}".encode() for name, print_ in FINGERPRINTS_OF_0_1_0.items()}


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_old_readers_and_old_records_stay_alive(file: Path) -> None:
    released = json.loads(file.read_text(encoding="utf-8"))
    current = schemas.load(file.stem.rpartition(".")[0])
    assert broken(released, current) is None, "an old record could not be read"
    assert broken(current, released) is None, "an old reader would break"


def without(name: str) -> Any:
    schema = schemas.load("dead_letter")
    schema["fields"] = [field for field in schema["fields"] if field["name"] != name]
    return schema


def retyped(name: str, kind: Any) -> Any:
    schema = schemas.load("dead_letter")
    for field in schema["fields"]:
        if field["name"] == name:
            field["type"] = kind
    return schema


@pytest.mark.parametrize(
    ("changed", "breaks"),
    [
        (without("portal"), False),
        (without("reason"), True),
        (retyped("reason", "bytes"), True),
        (retyped("call_id", "string"), True),
        (retyped("partition", "long"), True),
        (retyped("failed_at", {"type": "long", "logicalType": "timestamp-millis"}), True),
    ],
)
def test_the_check_itself_finds_what_breaks(changed: Any, breaks: bool) -> None:
    current = schemas.load("dead_letter")
    assert bool(broken(changed, current) or broken(current, changed)) is breaks


def test_a_record_within_another_is_compared_field_by_field() -> None:
    old = schemas.load("delivery")
    (intent,) = (field["type"][1] for field in old["fields"] if field["name"] == "intent")
    (history,) = (field["type"]["items"] for field in old["fields"] if field["name"] == "history")
    for inner in (intent, history):
        inner["fields"].append({"name": "new", "type": "long", "default": 0})
        assert broken(schemas.load("delivery"), old) is None and broken(old, schemas.load("delivery")) is None
        del inner["fields"][-1]["default"]
        assert "new has no default" in str(broken(schemas.load("delivery"), old))
        inner["fields"][-1:] = []
        inner["fields"][0]["type"] = "string"
        assert "is not among" in str(broken(schemas.load("delivery"), old))
        inner["fields"][0]["type"] = "int"
