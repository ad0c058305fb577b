"""A broker with TLS, SCRAM, tokens, client certificates and ACLs: a listener of each kind, beside the stack's open one.

Whoever comes by the open listener (`User:ANONYMOUS`: other servers of the stack, and the tests themselves) may do all.
"""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from connectors.acls import acls_of
from connectors.kafka_login import worker_properties
from deploy.local import LocalStack, parts
from deploy.local.parts.part import properties
from deploy.local.ports import HOST
from deploy.local.stack import READY_TIMEOUT
from streams.errors import UserError
from streams.kafka.access import create_acls
from streams.settings import Settings
from tests.certificates import Authority

PASSWORD = "correct horse"  # of every user


class SecuredKafka(parts.Kafka):
    """Made by `secured_stack`."""

    ports: ClassVar[tuple[str, ...]] = (*parts.Kafka.ports, "kafka-scram", "kafka-mtls", "kafka-oauth")
    authority: ClassVar[Authority]
    users: ClassVar[Sequence[str]]

    def prepare(self) -> None:
        super().prepare()
        text = self._configuration.read_text(encoding="utf-8")
        values: dict[str, str] = dict(line.split("=", 1) for line in text.splitlines())
        kinds = {"SCRAM": "SASL_SSL", "MTLS": "SSL", "OAUTH": "SASL_SSL"}
        for kind, protocol in kinds.items():
            for name in ("listeners", "advertised.listeners"):
                values[name] += f",{kind}://{HOST}:{self.site.ports[f'kafka-{kind.lower()}']}"
            values["listener.security.protocol.map"] += f",{kind}:{protocol}"
        values |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.authority.keystore("broker")),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mtls.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram."
            "ScramLoginModule required;",
            # Tokens that nobody signed: Kafka takes them where no validator is set.
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer."
            "OAuthBearerLoginModule required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:admin",
        }
        self._configuration.write_text(properties(values), encoding="utf-8")

    def preparation(self) -> Sequence[str | Path]:
        scram = (f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in ("admin", *self.users))
        return [*super().preparation(), *(part for user in scram for part in ("--add-scram", user))]


class SecuredConnect(parts.Connect):
    """Kafka Connect that logs in by SCRAM as `user`, with the lines of `cel2crm connectors worker-properties`."""

    authority: ClassVar[Authority]
    user: ClassVar[str]

    def prepare(self) -> None:
        """Make its rights on its own topics too, as soon as the broker is there: it ends at once without them."""
        super().prepare()
        settings = Settings.model_validate({"kafka": {"bootstrap_servers": self.site.bootstrap_servers}})
        until = time.monotonic() + READY_TIMEOUT
        while True:
            try:
                asyncio.run(create_acls(settings.kafka, {f"User:{self.user}": acls_of(settings, "connect")}))
            except UserError:  # it is not up yet
                assert time.monotonic() < until
                time.sleep(0.2)
            else:
                return

    def configuration(self) -> dict[str, str | int]:
        kafka = scram_login_at(self.site.ports["kafka-scram"], self.authority, self.user)
        settings = Settings.model_validate(
            {"kafka": kafka, "connect": {"kafka": connect_login(self.authority, self.user)}}
        )
        # Of its configuration files it may read those of the stack, and the one with its own password.
        allowed = f"{self.site.directory},{connect_secrets(self.authority).parent}"
        return {
            **super().configuration(),
            **worker_properties(settings),
            "config.providers.file.param.allowed.paths": allowed,
        }


def connect_secrets(authority: Authority) -> Path:
    """The file on Connect's host with its password for the brokers."""
    file = authority.directory / "connect" / "secrets.properties"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.touch(0o600)
        file.write_text(properties({"kafka.password": PASSWORD}), encoding="utf-8")
    return file


def connect_login(authority: Authority, user: str) -> dict[str, str]:
    """Settings of the section connect.kafka."""
    reference = f"${{file:{connect_secrets(authority)}:kafka.password}}"
    return {
        "sasl_username": user,
        "sasl_password_reference": reference,
        "ssl_ca_file": str(authority.certificate),
    }


@contextmanager
def secured_stack(authority: Authority, users: Sequence[str], *, connect: str = "") -> Iterator[LocalStack]:
    """Such a broker, and a registry; or, where Connect logs in as `connect`, Connect and MariaDB."""
    kind = type("SecuredKafkaHere", (SecuredKafka,), {"authority": authority, "users": tuple(users)})
    own = type("SecuredConnectHere", (SecuredConnect,), {"authority": authority, "user": connect})
    started = ("kafka", "connect", "mariadb") if connect else ("kafka", "registry")
    with mock.patch.dict(parts.ALL, {"kafka": kind, "connect": own}), LocalStack(parts=started) as running:
        yield running


def port_of(running: LocalStack, name: str) -> int:
    """The port of a listener: `kafka-scram`, `kafka-mtls`."""
    return next(iter(running._parts.values())).site.ports[name]


def scram_login(running: LocalStack, authority: Authority, user: str, **changed: Any) -> dict[str, Any]:
    """Settings of the section kafka by which `user` logs in; `changed` go over them."""
    return {**scram_login_at(port_of(running, "kafka-scram"), authority, user), **changed}


def scram_login_at(port: int, authority: Authority, user: str) -> dict[str, Any]:
    """The same at the port of a listener."""
    return {
        "bootstrap_servers": f"{HOST}:{port}",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": user,
        "sasl_password_file": str(_password_file(authority)),
        "ssl_ca_file": str(authority.certificate),
    }


def certificate_login(running: LocalStack, authority: Authority, name: str) -> dict[str, Any]:
    """The same by the certificate CN=`name`."""
    certificate, key = authority.issue(name)
    return {
        "bootstrap_servers": f"{HOST}:{port_of(running, 'kafka-mtls')}",
        "security_protocol": "SSL",
        "ssl_ca_file": str(authority.certificate),
        "ssl_certificate_file": str(certificate),
        "ssl_key_file": str(key),
    }


def _password_file(authority: Authority) -> Path:
    file = authority.directory / "password"
    if not file.exists():
        file.touch(0o600)
        file.write_text(PASSWORD, encoding="utf-8")
    return file


def unsigned_token(user: str, *, seconds: float = 600) -> str:
    """A token (JWS, RFC 7515) for `user` that lives so long."""
    claims = {"sub": user, "iat": time.time() - 60, "exp": time.time() + seconds}
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({"alg": "none"}, claims))
    return ".".join((*(each.rstrip("=") for each in encoded), ""))
