"""Kinds of sinks: what each does in its own way. The rest of the commands knows no difference."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from connectors.sinks.iceberg import checks as lake_checks
from connectors.sinks.iceberg import config as lake_config
from connectors.sinks.iceberg.control import place_groups
from connectors.sinks.jdbc import checks as jdbc_checks
from connectors.sinks.jdbc import config as jdbc_config
from connectors.sinks.jdbc import tables as jdbc_tables
from connectors.source import ConnectorConfig
from streams.settings import Settings, SinkSettings
from streams.settings.sinks import SinkPart
from streams.topics import ICEBERG_CONTROL


@dataclass(frozen=True, slots=True)
class SinkKind:
    """A kind of sink. Every function may raise SettingsError or UserError."""

    configs: Callable[[Settings, SinkSettings], Mapping[SinkPart, ConnectorConfig]]
    """The configuration of each of its connectors."""
    topics: Callable[[Settings, SinkPart], list[str]]
    """Full names of the topics that a connector reads."""
    refusals: Callable[[SinkSettings], Awaitable[list[str]]]
    """Why nothing can be written there, a line each."""
    remedy: Callable[[SinkSettings], str]
    """What mends those."""
    where: Callable[[SinkSettings], str]
    """The place, in words."""
    own_topics: tuple[str, ...] = ()
    """Short names of topics of its own."""
    prepare: Callable[[Settings, Iterable[str]], Awaitable[None]] | None = None
    """Before connectors of these names are made."""


def kind_of(sink: SinkSettings) -> SinkKind:
    """The kind of a sink."""
    return _LAKE if sink.in_lake else _DATABASE


def confirm_seconds(sink: SinkSettings) -> float:
    """How long it may keep records that it has taken before it confirms them."""
    return sink.lake.commit_seconds if sink.in_lake else 0


def _database(sink: SinkSettings) -> str:
    return f"{sink.engine} at {sink.address}, database {sink.database}"


def _lake(sink: SinkSettings) -> str:
    if sink.lake.catalog == "rest":
        return f"iceberg, catalog at {sink.lake.url}"
    return f"iceberg, catalog in postgresql at {sink.address}, database {sink.database}"


_DATABASE = SinkKind(
    jdbc_config.sink_configs, jdbc_tables.topics_of, jdbc_checks.refusals_now, jdbc_checks.tables_remedy, _database
)
_LAKE = SinkKind(
    lake_config.lake_configs,
    lake_config.topics_of,
    lake_checks.lake_refusals,
    lake_checks.lake_remedy,
    _lake,
    (ICEBERG_CONTROL,),
    place_groups,
)
