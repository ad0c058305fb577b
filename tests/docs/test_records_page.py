"""docs/records.md tells every field of every record as the schemas have it; the schemas tell of every field."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.topics import MILLISECONDS_A_DAY, declared_topics
from schemas import load, names
from schemas.reference import COMPACTED, KEPT, MARK, PERSONAL, RECORDS, SETTING, page_with, records_of, reference
from streams.settings import Settings
from tests.docs.pages import page

FIELDS = {
    f"{name}: {record['name']}.{field['name']}": field
    for name in names()
    for record in records_of(load(name))
    for field in record["fields"]
}


def test_the_page_is_the_one_made_from_the_schemas() -> None:
    told = page("records.md")
    assert page_with(reference(), told) == told, "give python -m schemas.reference"


def test_every_schema_stands_on_the_page() -> None:
    assert set(RECORDS) == set(names())


def test_a_page_without_its_mark_is_no_page() -> None:
    with pytest.raises(ValueError, match="has no line"):
        page_with("", page("records.md").replace(MARK, ""))


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_every_field_is_told(field: dict[str, Any]) -> None:
    words = field.get("doc", "")
    assert words, "say its meaning, unit, values and when it is null, in its doc"
    if "null" in types_of(field["type"]):
        assert re.search(r"\bnull\b", words), "say when it is null"


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_sinks_know_times_by_their_name(field: dict[str, Any]) -> None:
    for kind in plain_types(field["type"]):
        if kind.get("logicalType") == "timestamp-micros":
            assert (kind["connect.name"], kind["connect.version"]) == ("io.debezium.time.MicroTimestamp", 1)


def test_the_page_tells_how_long_records_are_kept() -> None:
    """As connectors/topics.yaml declares it, by a setting or for good."""
    declared = {topic.name: topic for topic in declared_topics(Settings())}
    assert KEPT.keys() == set(names())
    assert Settings().kafka.retention_days == 30  # the page says so
    for schema, (short, kept) in KEPT.items():
        topic = declared[f"cel2crm.{short.replace('<crm>', 'kommo')}"]
        if topic.config["cleanup.policy"] == "compact":
            assert kept == COMPACTED, schema
        else:
            days = int(topic.config["retention.ms"]) // MILLISECONDS_A_DAY
            assert kept.startswith(f"{days} days") and (days == 30) is (kept == SETTING), schema


NOT_PERSONAL = {
    "call_result": {
        "pbx", "rules_hash", "direction", "timezone", "utc_offset_source", "result_name", "rule", "dial_status",
        "ended_by", "handled_by", "warnings", "queue", "outcome",
    },
    "call_leg": {"outcome"},
    "delivery": {
        "crm", "portal", "state", "step", "steps_done", "status", "outcome", "wish", "id", "action", "source_topic",
        "result_schema", "kind",
    },
    "dead_letter": {"name", "topic", "component", "reason", "portal"},
    "dead_letter_resolution": {"action", "component", "reason", "command"},
    "delivery_command": {"id", "crm", "action", "source_topic", "result_schema"},
    "complete_until": {"pbx", "results_ends", "legs_ends"},
    "portal_state": {"crm", "portal", "disabled_reason", "fingerprint"},
}  # fmt: skip
"""Texts and bytes that tell of no person. A field that joins is decided upon: here, or by its attribute `personal`."""


@pytest.mark.parametrize("name", names())
def test_of_every_text_it_is_decided_whether_it_holds_personal_data(name: str) -> None:
    fields = [field for record in records_of(load(name)) for field in record["fields"]]
    tagged = {field["name"] for field in fields if "personal" in field}
    texts = {field["name"] for field in fields if holds_text(field["type"])}
    assert {field["personal"] for field in fields if "personal" in field} <= set(PERSONAL)
    assert texts - tagged == NOT_PERSONAL[name]
    assert tagged <= texts, "only texts and bytes are blanked"
    for field in fields:
        same = [each for each in fields if each["name"] == field["name"]]
        assert len({each.get("personal") for each in same}) == 1, f"{field['name']} is decided in two ways"


def test_every_kind_of_personal_data_is_told_and_used() -> None:
    used = {field["personal"] for field in FIELDS.values() if "personal" in field}
    assert used == set(PERSONAL)
    for kind, words in PERSONAL.items():
        assert f"`{kind}`: {words}" in " ".join(page("records.md").split())


def holds_text(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(map(holds_text, kind))
    if isinstance(kind, dict):
        return kind["type"] != "record" and holds_text(kind.get("items", kind.get("values", kind["type"])))
    return kind in ("string", "bytes")


def types_of(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]


def plain_types(kind: Any) -> Iterator[dict[str, Any]]:
    return (each for each in types_of(kind) if isinstance(each, dict))
