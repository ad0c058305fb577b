"""The source connector's configuration: source.yaml of the database's engine, filled from the settings."""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from connectors.kafka_login import debezium_properties
from connectors.placeholders import Value, fill
from connectors.references import require_no_secret, require_reference
from streams.errors import SettingsError
from streams.settings import Settings
from streams.topics import CAPTURE_STATE, CEL

FOLDER = Path(__file__).parent

ConnectorConfig = dict[str, str]

_SCHEMA_HISTORY = "schema.history.internal.kafka.topic"


def connector_name(settings: Settings) -> str:
    """The connector's name in Connect: one for each PBX."""
    return f"{settings.kafka.topic_prefix}-{settings.pbx.name}"


def source_config(settings: Settings) -> ConnectorConfig:
    """The configuration as Connect takes it: texts only, with each secret by reference.

    Further properties of the settings (connect.properties) stand beside ours, never over them. Raises SettingsError for
    an engine without a source.yaml, for a secret that is not a reference, and for a property that is ours.
    """
    require_reference("connect.password_reference", settings.connect.password_reference, "cel.password")
    template = _template(settings.database.engine)
    config = filled(template, settings) | debezium_properties(settings, history=_SCHEMA_HISTORY in template)
    for name, value in settings.connect.properties.items():
        if name in config:
            raise SettingsError(
                f"connect.properties.{name}: cel2crm sets this property itself, and relies on its value",
                "Take it out. Where a setting of cel2crm leads to it, change that one.",
            )
        require_no_secret(name, value)
    return config | settings.connect.properties


def filled(template: Mapping[str, Any], settings: Settings) -> ConnectorConfig:
    """A template with the settings in it."""
    return fill_texts(template, values_of(settings))


def fill_texts(template: Mapping[str, Any], values: Mapping[str, Value]) -> ConnectorConfig:
    """A template with its placeholders filled: texts only, as Connect takes them."""
    return {key: _text(value) for key, value in fill(template, values).items()}


def values_of(settings: Settings) -> dict[str, Value]:
    """The values of the placeholders in a source.yaml."""
    database, kafka = settings.database, settings.kafka
    return {
        "pbx.name": settings.pbx.name,
        "database.host": database.host,
        "database.port": database.port,
        "database.user": database.user,
        "database.name": database.name,
        "database.name_pattern": re.escape(database.name),
        "database.table_pattern": re.escape(captured_table(settings)),
        "database.publication": database.publication,
        "database.slot": database.slot or default_slot(settings),
        "database.server_id": server_id(settings.pbx.name),
        "connect.password_reference": settings.connect.password_reference,
        "kafka.bootstrap_servers": kafka.bootstrap_servers,
        "kafka.topic_prefix": kafka.topic_prefix,
        "columns.linkedid": database.column_name_aliases.get("cel_linkedid", "linkedid"),
        **topics_of(settings),
        "topics.captured_pattern": re.escape(captured_topic(settings)),
    }


def topics_of(settings: Settings) -> dict[str, str]:
    """The topics that the connector and its guard write or read; all of them must exist before it starts."""
    history = {"topics.schema-history": settings.kafka.topic(f"schema-history.{settings.pbx.name}")}
    return {
        "topics.cel": settings.kafka.topic(CEL),
        "topics.signals": settings.kafka.topic("signals"),
        **({} if settings.database.engine == "postgresql" else history),
        "topics.heartbeat": heartbeat_topic(settings),
        "topics.capture-state": settings.kafka.topic(CAPTURE_STATE),
    }


def heartbeat_topic(settings: Settings) -> str:
    """Topic on which Debezium shows that it follows the database, rows or none."""
    return f"__debezium-heartbeat.{settings.pbx.name}"


def captured_topic(settings: Settings) -> str:
    """The name that Debezium itself gives the rows' topic, before it is routed; other characters become `_`."""
    raw = f"{settings.pbx.name}.{_schema(settings)}.{_table(settings)}"
    return re.sub(r"[^A-Za-z0-9._-]", "_", raw)


def captured_table(settings: Settings) -> str:
    """The table as Debezium names it: with its database, of PostgreSQL with its schema."""
    return f"{_schema(settings)}.{_table(settings)}"


def default_slot(settings: Settings) -> str:
    """The replication slot of a PBX where database.slot names none."""
    return f"cel2crm_{settings.pbx.name.lower().replace('-', '_')}"


def _schema(settings: Settings) -> str:
    database = settings.database
    if database.engine != "postgresql":
        return database.name
    return database.table.rpartition(".")[0] or "public"


def _table(settings: Settings) -> str:
    table = settings.database.table
    return table.rpartition(".")[2] if settings.database.engine == "postgresql" else table


def server_id(pbx: str) -> int:
    """A replica number that stays the same for a PBX, well away from those that people give (1, 2, 3 ..)."""
    return 0x4000_0000 | zlib.crc32(f"cel2crm/{pbx}".encode()) >> 2


def _template(engine: str) -> dict[str, Any]:
    file = FOLDER / engine / "source.yaml"
    if not file.is_file():
        engines = ", ".join(sorted(found.parent.name for found in FOLDER.glob("*/source.yaml")))
        raise SettingsError(f"database.engine {engine} has no source connector yet", f"Supported: {engines}.")
    template: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return template


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
