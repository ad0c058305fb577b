"""The configurations of a sink's connectors: sink.yaml, filled from the settings, and what their records need."""

from typing import Any

import yaml

from connectors.placeholders import Value
from connectors.sinks.jdbc.tables import FOLDER, PARTS, PartOfSink, Table, fields_of, sql_file, tables_in, topics_of
from connectors.sinks.shared import TRANSFORMS, converter_of, require_password_reference, with_properties
from connectors.source import ConnectorConfig, fill_texts
from schemas import SCHEMA
from streams.settings import Settings, SinkSettings
from streams.settings.sinks import SinkPart


def sink_configs(settings: Settings, sink: SinkSettings) -> dict[SinkPart, ConnectorConfig]:
    """The configuration of each connector, with each secret by reference.

    Raises SettingsError for a secret that is not a reference, and for a property that is ours.
    """
    require_password_reference(sink)
    tables = tables_in(sql_file(sink).read_text(encoding="utf-8"))
    configs = {}
    for part in sink.wanted_parts:
        table = tables[PARTS[part].table]
        config = fill_texts(_template(), _values(settings, sink, part, table))
        config |= converter_of(settings, sink) | _transforms(PARTS[part], table)
        configs[part] = with_properties(sink, config)
    return configs


def jdbc_url(sink: SinkSettings) -> str:
    """The address as the drivers take it. A peer that is gone without a word is noticed within two minutes."""
    driver = "mariadb" if sink.engine == "mariadb" else "postgresql"  # a lake's catalog is in PostgreSQL
    silence = 120 if driver == "postgresql" else 120_000  # seconds; milliseconds
    address = f"jdbc:{driver}://{sink.address}/{sink.database}?tcpKeepAlive=true&socketTimeout={silence}"
    return "&".join([address, *(f"{name}={value}" for name, value in _tls_of(sink).items())])


def _tls_of(sink: SinkSettings) -> dict[str, str]:
    """What the driver is told of TLS. Each checks the server's certificate and its name."""
    if not sink.ssl:
        return {}
    authorities = sink.connect_ssl_ca_file or sink.ssl_ca_file
    if sink.engine == "mariadb":
        return {"sslMode": "verify-full"} | ({"serverSslCert": str(authorities)} if authorities else {})
    if authorities:
        return {"sslmode": "verify-full", "sslrootcert": str(authorities)}
    return {"sslmode": "verify-full", "sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}


def _values(settings: Settings, sink: SinkSettings, part: SinkPart, table: Table) -> dict[str, Value]:
    return {
        "sink.tasks": sink.tasks,
        "sink.topics": ",".join(topics_of(settings, part)),
        "sink.url": jdbc_url(sink),
        "sink.user": sink.user,
        "sink.password_reference": sink.password_reference,
        "record.schema_header": SCHEMA,
        "table.name": table.name,
        "table.key": ",".join(table.key),
    }


def _transforms(part: PartOfSink, table: Table) -> ConnectorConfig:
    """After the filter of sink.yaml: the fields that have a column, then the headers, then the record's own place.

    A field that a later version adds to the records has no column yet, and must not stop the sink.
    """
    transforms = ["ours", "columns"]
    config = {
        "transforms.columns.type": f"{TRANSFORMS}.ReplaceField$Value",
        "transforms.columns.include": ",".join(fields_of(part, table)),
    }
    if part.renamed:
        config["transforms.columns.renames"] = ",".join(f"{name}:{column}" for name, column in part.renamed.items())
    if part.headers:
        names = ",".join(part.headers)
        transforms += ["headers", "numbers"]
        config |= {
            "transforms.headers.type": "io.debezium.transforms.HeaderToValue",
            "transforms.headers.headers": names,
            "transforms.headers.fields": names,
            "transforms.headers.operation": "copy",
            "transforms.numbers.type": f"{TRANSFORMS}.Cast$Value",
            "transforms.numbers.spec": "processed_at:int64",
        }
    if part.place:
        partition, offset = part.place
        transforms.append("place")
        config |= {
            "transforms.place.type": f"{TRANSFORMS}.InsertField$Value",
            "transforms.place.partition.field": partition,
            "transforms.place.offset.field": offset,
        }
    return {"transforms": ",".join(transforms), **config}


def _template() -> dict[str, Any]:
    template: dict[str, Any] = yaml.safe_load((FOLDER / "sink.yaml").read_text(encoding="utf-8"))
    return template
