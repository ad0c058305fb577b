"""The configurations of a sink's connectors: sink.yaml, filled from the settings, and what their records need."""

from typing import Any

import yaml

from connectors.placeholders import Value
from connectors.references import require_no_secret, require_reference
from connectors.sinks.jdbc.tables import FOLDER, PARTS, PartOfSink, Table, fields_of, sql_file, tables_in, topics_of
from connectors.source import ConnectorConfig, fill_texts
from schemas import SCHEMA
from streams.errors import SettingsError
from streams.settings import Settings, SinkSettings
from streams.settings.sinks import SinkPart

_APICURIO = "/apis/ccompat/"
_TRANSFORMS = "org.apache.kafka.connect.transforms"


def sink_named(settings: Settings, name: str) -> SinkSettings:
    """The sink of that name. Raises SettingsError: there is none."""
    for sink in settings.sinks:
        if sink.called == name:
            return sink
    known = ", ".join(sink.called for sink in settings.sinks)
    raise SettingsError(
        f"there is no sink {name} in the settings" + (f", but: {known}" if known else ""),
        f"Write it under sinks: (docs/analytics.md), such as: sinks: [{{engine: {name}}}]" if not known else "",
    )


def connector_of(settings: Settings, sink: SinkSettings, part: SinkPart) -> str:
    """Name of the connector that fills one table; its consumer group is `connect-` and that name."""
    return f"{settings.kafka.topic_prefix}-sink-{sink.called}-{part}"


def sink_configs(settings: Settings, sink: SinkSettings) -> dict[SinkPart, ConnectorConfig]:
    """The configuration of each connector, with each secret by reference.

    Raises SettingsError for a secret that is not a reference, and for a property that is ours.
    """
    where = f"the password_reference of sink {sink.called}"
    require_reference(where, sink.password_reference, "sink.password")
    tables = tables_in(sql_file(sink).read_text(encoding="utf-8"))
    configs = {}
    for part in sink.parts:
        table = tables[PARTS[part].table]
        config = fill_texts(_template(), _values(settings, sink, part, table))
        config |= _converter(settings, sink) | _transforms(PARTS[part], table)
        for name, value in sink.properties.items():
            if name in config:
                raise SettingsError(
                    f"properties.{name} of sink {sink.called}: cel2crm sets this property itself, and relies on it",
                    "Take it out. Where a setting of cel2crm leads to it, change that one.",
                )
            require_no_secret(name, value, f"properties of sink {sink.called}")
        configs[part] = config | sink.properties
    return configs


def jdbc_url(sink: SinkSettings) -> str:
    """The address as the drivers take it. A peer that is gone without a word is noticed within two minutes."""
    silence = 120 if sink.engine == "postgresql" else 120_000  # seconds; milliseconds
    address = f"jdbc:{sink.engine}://{sink.address}/{sink.database}?tcpKeepAlive=true&socketTimeout={silence}"
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
        "transforms.columns.type": f"{_TRANSFORMS}.ReplaceField$Value",
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
            "transforms.numbers.type": f"{_TRANSFORMS}.Cast$Value",
            "transforms.numbers.spec": "processed_at:int64",
        }
    if part.place:
        partition, offset = part.place
        transforms.append("place")
        config |= {
            "transforms.place.type": f"{_TRANSFORMS}.InsertField$Value",
            "transforms.place.partition.field": partition,
            "transforms.place.offset.field": offset,
        }
    return {"transforms": ",".join(transforms), **config}


def _converter(settings: Settings, sink: SinkSettings) -> ConnectorConfig:
    """How Connect reads our Avro: Apicurio's converter for its registry, Confluent's for any other."""
    url, user = settings.registry.url.rstrip("/"), settings.registry.username
    reference = sink.registry_password_reference
    if user is not None:
        require_reference(
            f"the registry_password_reference of sink {sink.called}", reference or "", "registry.password"
        )
    base, found, _ = url.partition(_APICURIO)
    if found:
        config = {
            "value.converter": "io.apicurio.registry.utils.converter.AvroConverter",
            "value.converter.apicurio.registry.url": f"{base}/apis/registry/v2",
            "value.converter.apicurio.registry.as-confluent": "true",
            "value.converter.apicurio.registry.headers.enabled": "false",
            "value.converter.apicurio.registry.use-id": "contentId",
        }
        login = {
            "value.converter.apicurio.auth.username": f"{user}",
            "value.converter.apicurio.auth.password": f"{reference}",
        }
    else:
        config = {
            "value.converter": "io.confluent.connect.avro.AvroConverter",
            "value.converter.schema.registry.url": url,
        }
        login = {
            "value.converter.basic.auth.credentials.source": "USER_INFO",
            "value.converter.basic.auth.user.info": f"{user}:{reference}",
        }
    return config if user is None else config | login


def _template() -> dict[str, Any]:
    template: dict[str, Any] = yaml.safe_load((FOLDER / "sink.yaml").read_text(encoding="utf-8"))
    return template
