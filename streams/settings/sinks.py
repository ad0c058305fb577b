"""Databases and lakes for analysts: `sinks:`, which Kafka Connect fills with results, legs and others."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.settings.section import Section
from streams.settings.values import MOST_PORT

SinkPart = Literal["results", "legs", "deliveries", "dead-letters", "complete-until", "rows"]

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+\Z")
_DEFAULT_PORTS = {"postgresql": 5432, "mariadb": 3306, "iceberg": 5432}
_SQL_PARTS: tuple[SinkPart, ...] = ("results", "legs", "deliveries", "dead-letters", "complete-until")
_LAKE_PARTS: tuple[SinkPart, ...] = ("results", "legs", "rows")


class LakeSettings(Section):
    """Where an Iceberg lake is; of sinks whose engine is iceberg."""

    catalog: Literal["jdbc", "rest"] = "jdbc"
    """Who knows the tables: a PostgreSQL (host, port, database, user and password of the sink), or a REST catalog."""
    url: str | None = Field(default=None, pattern=r"^https?://[^\s@?#]+$")
    """Address of the REST catalog."""
    warehouse: str | None = Field(default=None, pattern=r"^\S+$")
    """Where the files go, as Connect's workers reach it: s3://bucket/calls, file:///srv/lake. A REST catalog may know
    it itself."""
    namespace: str = Field(default="calls", pattern=r"^[A-Za-z0-9_]{1,63}$")
    """The tables' namespace; the sink makes it."""
    commit_seconds: int = Field(default=300, ge=1, le=3600)
    """A snapshot of each table so often, while records come. More often means more and smaller files."""


class SinkSettings(Section):
    """One database or lake that calls go to."""

    engine: Literal["postgresql", "mariadb", "iceberg"]
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")
    """What commands and connectors call it; None: the engine. Under another name it begins at the first record."""
    host: str = Field(default="127.0.0.1", pattern=r"^[A-Za-z0-9._-]+$")
    port: int | None = Field(default=None, ge=1, le=MOST_PORT)
    """None: 5432 of PostgreSQL, 3306 of MariaDB."""
    database: str = Field(default="calls", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    user: str = "cel2crm"
    password: SecretStr | None = None
    password_file: Path | None = None
    """With which `connectors apply` and `status` look at the database."""
    password_reference: str = "${file:/etc/cel2crm/connect-secrets.properties:sink.password}"  # noqa: S105
    """How Connect itself finds that password (its ConfigProvider's notation); never the password."""
    ssl: bool = False
    """TLS, with the server's certificate and name checked; never in the clear then."""
    ssl_ca_file: Path | None = None
    """The authorities that may have signed its certificate, PEM; None: those of the system, and of Connect's Java."""
    connect_ssl_ca_file: Path | None = None
    """The same file on Connect's host; None: under the same path."""
    registry_password_reference: str | None = None
    """The same for the password of registry.username."""
    lake: LakeSettings = LakeSettings()
    parts: tuple[SinkPart, ...] | None = None
    """What goes there: a connector and a table each. None: all that its kind takes."""
    tasks: int = Field(default=1, ge=1, le=256)
    """Tasks of each connector; more than kafka.partitions have nothing to do."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Further properties of its connectors, as Connect names them. None may be one that cel2crm sets."""

    @field_validator("ssl_ca_file", "connect_ssl_ca_file")
    @classmethod
    def _plain_path(cls, file: Path | None) -> Path | None:
        """A path that may stand in a driver's address, which knows no quoting that all drivers read."""
        if file is not None and not _PLAIN_PATH.match(str(file)):
            raise ValueError("the path may have letters, digits and / . _ - only: it stands in the driver's address")
        return file

    @model_validator(mode="after")
    def _certificates_with_tls(self) -> Self:
        if not self.ssl and (self.ssl_ca_file or self.connect_ssl_ca_file):
            raise ValueError("ssl_ca_file and connect_ssl_ca_file are for ssl: true, which is not set")
        if self.connect_ssl_ca_file and not self.ssl_ca_file:
            raise ValueError("connect_ssl_ca_file goes with ssl_ca_file, for the commands of this machine")
        return self

    @field_validator("parts")
    @classmethod
    def _some_part(cls, parts: tuple[SinkPart, ...] | None) -> tuple[SinkPart, ...] | None:
        if parts is not None and (not parts or len(set(parts)) < len(parts)):
            raise ValueError("name at least one of them, and none twice; or leave it out")
        return parts

    @model_validator(mode="after")
    def _fits_its_engine(self) -> Self:
        allowed = _LAKE_PARTS if self.in_lake else _SQL_PARTS
        if strange := [part for part in self.parts or () if part not in allowed]:
            raise ValueError(f"parts: {self.engine} takes no {', '.join(strange)}, but: {', '.join(allowed)}")
        if not self.in_lake and self.lake != LakeSettings():
            raise ValueError(f"lake: these settings are for engine iceberg; this one is {self.engine}")
        if self.in_lake and self.lake.catalog == "rest" and self.lake.url is None:
            raise ValueError("lake.url is not set: where the REST catalog answers, such as https://catalog.example.org")
        if self.in_lake and self.lake.catalog == "jdbc" and self.lake.warehouse is None:
            raise ValueError("lake.warehouse is not set: where the files go, such as s3://bucket/calls")
        return self

    @property
    def in_lake(self) -> bool:
        """Whether it is a lake of files, not a SQL database."""
        return self.engine == "iceberg"

    @property
    def wanted_parts(self) -> tuple[SinkPart, ...]:
        """What goes there."""
        return self.parts or (_LAKE_PARTS if self.in_lake else _SQL_PARTS)

    @property
    def called(self) -> str:
        """Its name in commands and connectors."""
        return self.name or self.engine

    @property
    def listens_on(self) -> int:
        """Its port."""
        return self.port or _DEFAULT_PORTS[self.engine]

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        return f"{self.host}:{self.listens_on}"


def sinks_named_apart(sinks: tuple[SinkSettings, ...]) -> tuple[SinkSettings, ...]:
    """Refuse two sinks of one name."""
    names = [sink.called for sink in sinks]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two sinks are called {', '.join(sorted(twice))}: give each a name of its own")
    return sinks
