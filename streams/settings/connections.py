"""How the brokers, Kafka Connect and the schema registry are reached: addresses, logins, certificates.

Certificates and keys are PEM files. Passwords come from a file or the environment only.
"""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.settings.section import Section
from streams.settings.values import MOST_PORT, Servers

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]

_WITH_TLS = ("SSL", "SASL_SSL")
_WITH_SASL = ("SASL_PLAINTEXT", "SASL_SSL")


class KafkaSettings(Section):
    """The brokers, how to log in to them, and how the topics are laid out."""

    bootstrap_servers: Servers = "127.0.0.1:9092"
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    sasl_oauthbearer_token_file: Path | None = None
    """A token that something else keeps fresh; read at each connection."""
    sasl_oauthbearer_token_endpoint_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """The identity provider's token endpoint; sasl_username is the client's id, sasl_password its secret."""
    sasl_oauthbearer_scope: str | None = None
    sasl_oauthbearer_ca_file: Path | None = None
    """The authorities that sign the identity provider's certificate; None: those that the system trusts."""
    aws_region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    """AWS MSK IAM: the brokers' region."""
    ssl_ca_file: Path | None = None
    """The authorities that sign the brokers' certificates; None: those that the system trusts."""
    ssl_certificate_file: Path | None = None
    """Certificate with which a client logs in (mutual TLS), its chain included."""
    ssl_key_file: Path | None = None
    principals: dict[str, str] = Field(default_factory=dict)
    """The brokers' name of a part, such as `User:CN=aggregate`, where it is not `User:<topic_prefix>-<part>`."""
    topic_prefix: str = Field(default="cel2crm", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    partitions: int = Field(default=6, ge=1, le=10_000)
    replication_factor: int = Field(default=1, ge=1, le=32)
    retention_days: int = Field(default=30, ge=1, le=36_500)

    @field_validator("principals")
    @classmethod
    def _principals(cls, principals: dict[str, str]) -> dict[str, str]:
        for part, principal in principals.items():
            if not re.fullmatch(r"[A-Za-z]+:[^'\n]+", principal):
                raise ValueError(f"{part}: a principal is written as User:name or User:CN=name,O=company")
        return principals

    def topic(self, name: str) -> str:
        """The full name of one of the product's topics."""
        return f"{self.topic_prefix}.{name}"

    @property
    def with_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol in _WITH_TLS

    @property
    def with_sasl(self) -> bool:
        """Whether clients log in by name and password."""
        return self.security_protocol in _WITH_SASL

    @model_validator(mode="after")
    def _consistent(self) -> "KafkaSettings":
        """Refuse a login that would silently not be used, and one that lacks a part."""
        login = (self.sasl_mechanism, self.sasl_username, self.sasl_password, self.sasl_password_file)
        certificates = (self.ssl_ca_file, self.ssl_certificate_file, self.ssl_key_file)
        if any(part is not None for part in login) and not self.with_sasl:
            raise ValueError(
                f"security_protocol {self.security_protocol} does not use sasl_*; "
                "with a login it is SASL_SSL, or SASL_PLAINTEXT where nobody else is on the network"
            )
        if self.sasl_mechanism == "OAUTHBEARER" or any(self._token_settings):
            self._require_one_token()
        elif self.with_sasl and (self.sasl_mechanism is None or not self.sasl_username):
            raise ValueError(
                f"security_protocol {self.security_protocol} wants sasl_mechanism (PLAIN, SCRAM-SHA-256 or "
                "SCRAM-SHA-512), sasl_username and sasl_password_file; or OAUTHBEARER"
            )
        if any(part is not None for part in certificates) and not self.with_tls:
            raise ValueError(
                f"security_protocol {self.security_protocol} does not use ssl_*; with certificates it is SSL or "
                "SASL_SSL"
            )
        _refuse_half_a_certificate(self.ssl_certificate_file, self.ssl_key_file)
        return self

    @property
    def _token_settings(self) -> tuple[object, ...]:
        return (self.sasl_oauthbearer_token_file, self.sasl_oauthbearer_token_endpoint_url, self.aws_region)

    def _require_one_token(self) -> None:
        """Raises ValueError unless exactly one way to a token is set, with what it needs."""
        if not self.with_sasl or self.sasl_mechanism != "OAUTHBEARER":
            raise ValueError(
                "sasl_oauthbearer_* and aws_region are for sasl_mechanism OAUTHBEARER with security_protocol SASL_SSL"
            )
        if sum(each is not None for each in self._token_settings) != 1:
            raise ValueError(
                "sasl_mechanism OAUTHBEARER wants one of sasl_oauthbearer_token_file, "
                "sasl_oauthbearer_token_endpoint_url and aws_region"
            )
        if self.sasl_oauthbearer_token_endpoint_url is not None and not self.sasl_username:
            raise ValueError("sasl_oauthbearer_token_endpoint_url wants sasl_username (the client's id) and its secret")


class HttpService(Section):
    """A server with an HTTP interface: its address, and how to log in to it."""

    url: str
    username: str | None = None
    """Basic authentication."""
    password: SecretStr | None = None
    password_file: Path | None = None
    ssl_ca_file: Path | None = None
    """The authorities that sign the server's certificate; None: those that the system trusts."""
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "HttpService":
        has_password = self.password is not None or self.password_file is not None
        if (self.username is not None) != has_password:
            raise ValueError("username and password_file go together")
        if self.username is not None and "@" in urlsplit(self.url).netloc:
            raise ValueError("the address has a user of its own: take it out, and keep username and password_file")
        certificates = (self.ssl_ca_file, self.ssl_certificate_file, self.ssl_key_file)
        if any(part is not None for part in certificates) and not self.url.startswith("https://"):
            raise ValueError("ssl_* are for an address that begins with https://")
        _refuse_half_a_certificate(self.ssl_certificate_file, self.ssl_key_file)
        return self


class ConnectKafkaSettings(Section):
    """How Kafka Connect and its connectors log in to the brokers, as seen on Connect's host.

    Protocol and mechanism are those of the `kafka` section. Secrets by reference only: Connect looks them up.
    """

    sasl_username: str | None = Field(default=None, pattern=r'^[^"\\\s]+$')
    sasl_password_reference: str = "${file:/etc/cel2crm/connect-secrets.properties:kafka.password}"  # noqa: S105
    """How Connect finds the password (its ConfigProvider's notation); never the password."""
    ssl_ca_file: Path | None = None
    """PEM file on Connect's host; None: what its Java trusts."""
    ssl_keystore_file: Path | None = None
    """PEM file on Connect's host with private key and certificate, for mutual TLS."""


class ConnectSettings(HttpService):
    """Kafka Connect's REST interface, on which connectors are applied."""

    url: str = "http://127.0.0.1:8083"
    password_reference: str = "${file:/etc/cel2crm/connect-secrets.properties:cel.password}"  # noqa: S105
    """How Connect itself finds the database password (its ConfigProvider's notation); never the password."""
    metrics_port: int | None = Field(default=None, ge=1, le=MOST_PORT)
    """Where `connectors watch` serves its metrics, on worker.web_host."""
    group_id: str = Field(default="connect", pattern=r"^[A-Za-z0-9._-]{1,200}$")
    """`group.id` of Connect's workers; the names of its three internal topics begin with it and a dash."""
    kafka: ConnectKafkaSettings = ConnectKafkaSettings()
    properties: dict[str, str] = Field(default_factory=dict)
    """Further properties of the source connector, as Connect names them. None may be one that cel2crm sets."""

    @field_validator("properties", mode="before")
    @classmethod
    def _as_texts(cls, properties: object) -> object:
        """Connect takes texts only; YAML's numbers and truth values are written as Java writes them."""
        if not isinstance(properties, dict):
            return properties
        return {
            str(name): str(value).lower() if isinstance(value, bool) else str(value)
            if isinstance(value, int | float)
            else value
            for name, value in properties.items()
        }  # fmt: skip


class RegistrySettings(HttpService):
    """The schema registry (Confluent's interface)."""

    url: str = "http://127.0.0.1:8081"


def _refuse_half_a_certificate(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise ValueError("ssl_certificate_file and ssl_key_file go together")
