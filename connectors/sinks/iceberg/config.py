"""The configurations of a lake's connectors: sink.yaml, filled from the settings, and what their records need."""

from collections.abc import Mapping
from typing import Any

import yaml

from connectors.kafka_login import login_properties
from connectors.placeholders import Value, fill
from connectors.sinks.iceberg.tables import FOLDER, KEY, OFFSET, PARTITION, TABLES, TIMESTAMP, VALUE, LakeTable
from connectors.sinks.jdbc.config import jdbc_url
from connectors.sinks.shared import (
    TRANSFORMS,
    connector_of,
    converter_of,
    require_password_reference,
    with_properties,
)
from connectors.source import ConnectorConfig, fill_texts
from schemas import SCHEMA
from streams.calls.result_headers import PROCESSED
from streams.errors import SettingsError
from streams.settings import Settings, SinkSettings
from streams.settings.sinks import SinkPart
from streams.topics import ICEBERG_CONTROL

CATALOG = "cel2crm"
"""The catalog's name: a JDBC catalog keeps tables under it, so readers must give the same."""

_BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"
_TEXT = "org.apache.kafka.connect.storage.StringConverter"


def lake_configs(settings: Settings, sink: SinkSettings) -> dict[SinkPart, ConnectorConfig]:
    """The configuration of each connector, with each secret by reference.

    Raises SettingsError for a secret that is not a reference, and for a property that is ours.
    """
    template: dict[str, Any] = yaml.safe_load((FOLDER / "sink.yaml").read_text(encoding="utf-8"))
    configs = {}
    for part in sink.wanted_parts:
        table = TABLES[part]
        config = fill_texts(template, _values(settings, sink, part, table)) | _catalog(sink)
        config |= _prefixed("iceberg.kafka.", login_properties(settings))
        config |= _raw_records() if table.raw else _typed_records(settings, sink, table)
        configs[part] = with_properties(sink, config)
    return configs


def catalog_statements(sink: SinkSettings) -> str:
    """The statements that make a catalog's tables in PostgreSQL. Raises SettingsError: a REST catalog has none."""
    if sink.lake.catalog == "rest":
        raise SettingsError(f"sink {sink.called} has a REST catalog, which makes its tables itself")
    text = (FOLDER / "catalog.sql").read_text(encoding="utf-8")
    return str(fill(text, {"catalog.name": CATALOG, "lake.namespace": sink.lake.namespace}))


def topics_of(settings: Settings, part: SinkPart) -> list[str]:
    """Full names of the topics that fill a part's table."""
    return [settings.kafka.topic(TABLES[part].topic)]


def catalog_url(sink: SinkSettings) -> str:
    """The catalog's address as Iceberg takes it."""
    if sink.lake.catalog == "rest":
        return str(sink.lake.url)
    return jdbc_url(sink)


def _values(settings: Settings, sink: SinkSettings, part: SinkPart, table: LakeTable) -> dict[str, Value]:
    return {
        "sink.tasks": sink.tasks,
        "sink.topics": ",".join(topics_of(settings, part)),
        "connector.name": connector_of(settings, sink, part),
        "catalog.name": CATALOG,
        "catalog.type": sink.lake.catalog,
        "catalog.uri": catalog_url(sink),
        "lake.commit_ms": sink.lake.commit_seconds * 1000,
        "table.name": f"{sink.lake.namespace}.{table.name}",
        "table.day": table.day,
        "topics.control": settings.kafka.topic(ICEBERG_CONTROL),
        "kafka.bootstrap_servers": settings.kafka.bootstrap_servers,
    }


def _catalog(sink: SinkSettings) -> ConnectorConfig:
    """Warehouse and login."""
    config = {} if sink.lake.warehouse is None else {"iceberg.catalog.warehouse": sink.lake.warehouse}
    if sink.lake.catalog == "jdbc":
        require_password_reference(sink)
        config |= {
            "iceberg.catalog.jdbc.user": sink.user,
            "iceberg.catalog.jdbc.password": sink.password_reference,
            "iceberg.catalog.jdbc.init-catalog-tables": "false",  # catalog.sql
        }
    return config


def _typed_records(settings: Settings, sink: SinkSettings, table: LakeTable) -> ConnectorConfig:
    """Our Avro: only records with our header `schema`, the headers as columns, times as Connect's own type.

    Records of 0.1.0 have not that header, and bear other fields. Iceberg knows no other time than Connect's, which has
    milliseconds: without it the table would have numbers, and no partitions.
    """
    names = ",".join(table.headers)
    config = {
        "key.converter": _TEXT,
        **converter_of(settings, sink),
        "predicates": "bearsSchema",
        "predicates.bearsSchema.type": f"{TRANSFORMS}.predicates.HasHeaderKey",
        "predicates.bearsSchema.name": SCHEMA,
        "transforms.ours.type": f"{TRANSFORMS}.Filter",
        "transforms.ours.predicate": "bearsSchema",
        "transforms.ours.negate": "true",
        "transforms.headers.type": "io.debezium.transforms.HeaderToValue",
        "transforms.headers.headers": names,
        "transforms.headers.fields": names,
        "transforms.headers.operation": "copy",
        "transforms.numbers.type": f"{TRANSFORMS}.Cast$Value",
        "transforms.numbers.spec": f"{PROCESSED}:int64",
    }
    for name in table.times:
        config |= {
            f"transforms.{name}.type": f"{TRANSFORMS}.TimestampConverter$Value",
            f"transforms.{name}.field": name,
            f"transforms.{name}.target.type": "Timestamp",
            f"transforms.{name}.unix.precision": "microseconds",
        }
    return {**config, "transforms": ",".join(["ours", "headers", "numbers", *table.times])}


def _raw_records() -> ConnectorConfig:
    """The record as it stands on the topic, bytes for bytes: its key and value, partition, offset and time."""
    steps = {
        "transforms.value.type": f"{TRANSFORMS}.HoistField$Value",
        "transforms.value.field": VALUE,
        # A key becomes a column by way of a header: no transform of Kafka's own leads from one to the other.
        "transforms.keyField.type": f"{TRANSFORMS}.HoistField$Key",
        "transforms.keyField.field": KEY,
        "transforms.keyHeader.type": f"{TRANSFORMS}.HeaderFrom$Key",
        "transforms.keyHeader.fields": KEY,
        "transforms.keyHeader.headers": KEY,
        "transforms.keyHeader.operation": "copy",
        "transforms.key.type": "io.debezium.transforms.HeaderToValue",
        "transforms.key.headers": KEY,
        "transforms.key.fields": KEY,
        "transforms.key.operation": "move",
        "transforms.place.type": f"{TRANSFORMS}.InsertField$Value",
        "transforms.place.partition.field": PARTITION,
        "transforms.place.offset.field": OFFSET,
        "transforms.place.timestamp.field": TIMESTAMP,
    }
    order = "value,keyField,keyHeader,key,place"
    return {"key.converter": _BYTES, "value.converter": _BYTES, **steps, "transforms": order}


def _prefixed(prefix: str, properties: Mapping[str, str]) -> ConnectorConfig:
    return {f"{prefix}{name}": value for name, value in properties.items()}
