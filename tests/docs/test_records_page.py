"""docs/records.md tells every field of every record as the schemas have it; the schemas tell of every field."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.topics import MILLISECONDS_A_DAY, declared_topics
from schemas import load, names
from schemas.reference import COMPACTED, KEPT, MARK, RECORDS, SETTING, page_with, records_of, reference
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


def types_of(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]


def plain_types(kind: Any) -> Iterator[dict[str, Any]]:
    return (each for each in types_of(kind) if isinstance(each, dict))
