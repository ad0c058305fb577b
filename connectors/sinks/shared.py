"""The common part of every sink's configurations: names, the converter of its records, an operator's properties."""

from collections.abc import Mapping

from connectors.references import require_no_secret, require_reference
from connectors.source import ConnectorConfig
from streams.errors import SettingsError
from streams.settings import Settings, SinkSettings
from streams.settings.sinks import SinkPart

TRANSFORMS = "org.apache.kafka.connect.transforms"
"""The package of Kafka's own transforms."""

_APICURIO = "/apis/ccompat/"


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


def require_password_reference(sink: SinkSettings) -> None:
    """Raise SettingsError where a sink's password is written out instead of referred to."""
    require_reference(f"the password_reference of sink {sink.called}", sink.password_reference, "sink.password")


def with_properties(sink: SinkSettings, config: Mapping[str, str]) -> ConnectorConfig:
    """A configuration with the operator's further properties.

    Raises SettingsError: one of them is ours, or holds a secret that is no reference.
    """
    for name, value in sink.properties.items():
        if name in config:
            raise SettingsError(
                f"properties.{name} of sink {sink.called}: cel2crm sets this property itself, and relies on it",
                "Take it out. Where a setting of cel2crm leads to it, change that one.",
            )
        require_no_secret(name, value, f"properties of sink {sink.called}")
    return {**config, **sink.properties}


def converter_of(settings: Settings, sink: SinkSettings) -> ConnectorConfig:
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
