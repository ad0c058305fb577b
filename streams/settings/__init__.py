"""One typed tree of settings: a YAML file, environment variables over it, secrets from the environment or files only.

Environment variables are named `CEL2CRM_` and the path with two underscores between levels:
`CEL2CRM_KAFKA__BOOTSTRAP_SERVERS` sets `kafka.bootstrap_servers`. A field that ends in
`_file` names a file, mostly one that holds a secret.

pbx.py: a PBX, its database and its numbers; connections.py: brokers, Connect and registry, with logins and
certificates (tls.py); portals.py: the accounts at the CRMs; routes.py: where their calls belong; working_hours.py:
schedules; recordings.py: where calls' recordings are; sinks.py: databases for analysts; privacy.py: hashes of
numbers; section.py: what all branches share; values.py: checks of values; reading.py, files.py: files and their faults.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streams.errors import SettingsError
from streams.settings.connections import (
    ConnectKafkaSettings,
    ConnectSettings,
    HttpService,
    KafkaSettings,
    RegistrySettings,
)
from streams.settings.pbx import (
    DatabaseSettings,
    ListedPbxSettings,
    NumberSettings,
    PbxSettings,
    with_first_pbx,
)
from streams.settings.portals import OAuthSettings, PortalSettings, RateLimit, named_apart
from streams.settings.privacy import PrivacySettings
from streams.settings.reading import SettingsFile, read_settings_file, told
from streams.settings.recordings import CallDetailRecordSettings, RecordingSettings
from streams.settings.routes import RouteSettings
from streams.settings.section import Section, secret
from streams.settings.sinks import SinkSettings, sinks_named_apart
from streams.settings.values import MOST_PORT
from streams.settings.working_hours import ScheduleSettings

__all__ = [
    "AggregateSettings",
    "CallDetailRecordSettings",
    "ConnectKafkaSettings",
    "ConnectSettings",
    "CredentialSettings",
    "DatabaseSettings",
    "HttpService",
    "KafkaSettings",
    "ListedPbxSettings",
    "LoggingSettings",
    "NumberSettings",
    "OAuthSettings",
    "PbxSettings",
    "PortalSettings",
    "PrivacySettings",
    "RateLimit",
    "RecordingSettings",
    "RegistrySettings",
    "RouteSettings",
    "RuleSettings",
    "ScheduleSettings",
    "Settings",
    "SinkSettings",
    "WorkerSettings",
    "load_settings",
    "secret",
]

SETTINGS_FILE_VARIABLE = "CEL2CRM_SETTINGS"

_DAY_SECONDS = 24 * 3600.0
_CENTURY_SECONDS = 36_525 * _DAY_SECONDS
"""Whoever wants a limit never to be met writes a century; inf and nan are refused."""


class RuleSettings(Section):
    """Which tables decide; a file overrides or adds lines of the shipped ones (`cel2crm rules show`)."""

    preset: Literal["default", "literal", "missed_is_304"] = "default"
    file: Path | None = None
    """The operator's own lines: any of the sections preset, language, results, texts,
    directions, and one named like each CRM that has a table of statuses.

    Its preset and language go before the settings here.
    """
    results_file: Path | None = None
    bitrix24_file: Path | None = None
    kommo_file: Path | None = None
    directions_file: Path | None = None
    language: str = "en"
    """Language of the texts: en, ru, de, or one that the operator's file adds."""

    def what_if(self, file: Path) -> "RuleSettings":
        """The same with `file` instead of the operator's own."""
        own = [name for name in type(self).model_fields if name.endswith("_file")]
        return self.model_copy(update={**dict.fromkeys(own), "file": file})


class AggregateSettings(Section):
    """When a call has ended, and how long late rows may come (seconds); and how many rows may be unreadable."""

    settle_seconds: float = Field(default=0.05, ge=0, le=60)
    """A call is classified this long after its LINKEDID_END: rows of one transaction may come in any order."""
    quiet_seconds: float = Field(default=10.0, gt=0, le=_DAY_SECONDS)
    """Wait after all channels ended where the PBX logs no LINKEDID_END."""
    time_limit_seconds: float = Field(default=4 * 3600.0, gt=0, le=_CENTURY_SECONDS)
    """A call without any end and without a new row for so long was cut short."""
    grace_seconds: float = Field(default=900.0, gt=0, le=7 * _DAY_SECONDS)
    """How long after its end a call still takes late rows."""
    flush_seconds: float = Field(default=5.0, gt=0, le=600)
    """Between two commits of what was taken."""
    snapshot_seconds: float = Field(default=60.0, gt=0, le=600)
    """Between two snapshots of the calls that changed, written with a commit; after 50,000 rows at the latest. A worker
    that was killed reads again what came since."""
    bridges_logged: bool = True
    """False where cel.conf has no BRIDGE events: then dial status ANSWER decides who was answered."""
    max_unreadable_share: float = Field(default=0.5, ge=0, le=1)
    """More unreadable rows than this share of `unreadable_window` stop the worker: their source is at fault. 1: none
    ever stops it."""
    unreadable_window: int = Field(default=1000, ge=1, le=100_000)
    """The last rows among which unreadable ones are counted."""


class CredentialSettings(Section):
    """The key that encrypts the OAuth tokens stored on Kafka. A secret: a file, or the environment."""

    key: SecretStr | None = None
    """Made by `cel2crm portal new-key`. Several keys (one a line): the first encrypts, all decrypt."""
    key_file: Path | None = None


class WorkerSettings(Section):
    """A worker process."""

    data_dir: Path | None = None
    """Without effect since 0.2.0, and refused by the release after it."""
    web_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=MOST_PORT)
    group_instance_id: str | None = None
    """Static membership: one stable id a worker, given by the deployment."""
    session_timeout_seconds: float = Field(default=15.0, ge=6, le=1800)
    """How long the group waits for a worker that fell silent. Brokers take at most group.max.session.timeout.ms, 30
    minutes unless it is set."""
    linger_seconds: float = Field(default=0.06, ge=0, le=1)
    """How long brokers gather records for a fetch while they come one by one: each fetch costs as much CPU as some
    dozens of records."""


class LoggingSettings(Section):
    """Log lines go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    mask_numbers: bool = False
    """Show phone numbers without their middle digits in what `cel2crm deliveries` and `dead-letters` print."""


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(env_prefix="CEL2CRM_", env_nested_delimiter="__", extra="forbid", frozen=True)

    pbx: PbxSettings = PbxSettings()
    other_pbxs: tuple[PbxSettings, ...] = ()
    pbxs: tuple[ListedPbxSettings, ...] = ()
    """Several PBXs, each with its own; instead of `pbx`, `database` and `other_pbxs`, which then are the first, and the
    names of the others."""
    database: DatabaseSettings = DatabaseSettings()
    kafka: KafkaSettings = KafkaSettings()
    connect: ConnectSettings = ConnectSettings()
    registry: RegistrySettings = RegistrySettings()
    numbers: NumberSettings = NumberSettings()
    rules: RuleSettings = RuleSettings()
    aggregate: AggregateSettings = AggregateSettings()
    working_hours: dict[str, ScheduleSettings] = Field(default_factory=dict)
    """Schedules by name."""
    portals: Annotated[tuple[PortalSettings, ...], AfterValidator(named_apart)] = ()
    recordings: tuple[RecordingSettings, ...] = ()
    sinks: Annotated[tuple[SinkSettings, ...], AfterValidator(sinks_named_apart)] = ()
    credentials: CredentialSettings = CredentialSettings()
    privacy: PrivacySettings = PrivacySettings()
    worker: WorkerSettings = WorkerSettings()
    logging: LoggingSettings = LoggingSettings()

    @model_validator(mode="before")
    @classmethod
    def _with_first_pbx(cls, tree: Any) -> Any:
        return with_first_pbx(tree)

    @field_validator("portals")
    @classmethod
    def _with_schedules(cls, portals: tuple[PortalSettings, ...], info: ValidationInfo) -> tuple[PortalSettings, ...]:
        schedules = info.data.get("working_hours")  # None: they are at fault themselves
        return portals if schedules is None else tuple(portal.with_schedules(schedules) for portal in portals)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes over the file (`init_settings` holds what the file says)."""
        return env_settings, init_settings

    def timezone_of(self, pbx: str) -> str | None:
        """The configured zone of a PBX, None where it is to be taken from the rows."""
        return next((each.timezone for each in (self.pbx, *self.other_pbxs) if each.name == pbx), None)

    @property
    def pbx_names(self) -> tuple[str, ...]:
        """The names of all PBXs, the first one first."""
        return (self.pbx.name, *(each.name for each in self.other_pbxs))

    def each_pbx(self) -> "tuple[Settings, ...]":
        """The settings of each PBX whose database is known, as `of_pbx` has them."""
        return tuple(self.of_pbx(each.name) for each in self.pbxs) if self.pbxs else (self,)

    def of_pbx(self, name: str) -> "Settings":
        """The settings as they are for one PBX: `pbx`, `database`, `numbers` and what else is its own.

        Raises SettingsError: there is no such PBX, or its database is not in these settings.
        """
        if not self.pbxs and name == self.pbx.name:
            return self
        own = next((each for each in self.pbxs if each.name == name), None)
        if own is None:
            known = name in self.pbx_names
            raise SettingsError(
                f"the database of PBX {name} is not in these settings" if known else f"there is no PBX {name}",
                "List it under pbxs, with its database." if known else f"PBXs: {', '.join(self.pbx_names)}.",
            )
        return self.model_copy(update=own.sections(self.pbxs, self.numbers, self.aggregate, self.connect))

    def portals_of(self, crm: str) -> tuple[PortalSettings, ...]:
        """The portals of one CRM."""
        return tuple(portal for portal in self.portals if portal.crm == crm)


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file (`path`, else `$CEL2CRM_SETTINGS`, else none) and the environment.

    Raises SettingsError with every fault found: the path of the setting, what is wrong and what is allowed.
    """
    if path is None and (named := os.environ.get(SETTINGS_FILE_VARIABLE)):
        path = Path(named)
    file = read_settings_file(path) if path else SettingsFile()
    environment = {name for name in os.environ if name.startswith("CEL2CRM_") and name != SETTINGS_FILE_VARIABLE}
    unknown = sorted(name for name in environment if name[8:].lower().split("__")[0] not in Settings.model_fields)
    if unknown:
        raise SettingsError(
            f"unknown setting in the environment: {', '.join(unknown)}",
            f"Known sections: {', '.join(Settings.model_fields)}.",
        )
    try:
        settings = Settings(**file.tree or {})
    except ValidationError as error:
        where = f"in {path} or the environment" if path else "in the environment"
        faults = dict.fromkeys(f"  {told(fault, file, Settings)}" for fault in error.errors())
        raise SettingsError(f"settings {where} cannot be used:\n" + "\n".join(faults)) from None
    if settings.kafka.security_protocol == "SASL_PLAINTEXT":
        sys.stderr.write(
            "cel2crm: warning: kafka.security_protocol is SASL_PLAINTEXT: calls and, with PLAIN, the password go over "
            "the network unencrypted; SASL_SSL encrypts them\n"
        )
    if settings.worker.data_dir is not None:
        sys.stderr.write(
            "cel2crm: warning: the setting worker.data_dir has no effect, for nothing is kept on disk; "
            "the next release refuses it: take it out\n"
        )
    return settings
