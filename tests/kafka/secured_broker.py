"""A broker with TLS, SCRAM, client certificates and ACLs: one listener of each kind, beside the open one of the stack.

Whoever comes by the open listener (`User:ANONYMOUS`: other servers of the stack, and the tests themselves) may do all.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock
from urllib.parse import urlsplit

from connectors.kafka_login import worker_properties
from deploy.local import LocalStack, parts
from deploy.local.parts.part import properties
from deploy.local.ports import HOST, choose, is_held_by
from streams.settings import Settings
from tests.certificates import Authority

PASSWORD = "correct horse"  # of every user


class SecuredKafka(parts.Kafka):
    """Made by `secured_stack`."""

    ports: ClassVar[tuple[str, ...]] = (*parts.Kafka.ports, "kafka-scram", "kafka-mtls")
    authority: ClassVar[Authority]
    users: ClassVar[Sequence[str]]

    def prepare(self) -> None:
        super().prepare()
        text = self._configuration.read_text(encoding="utf-8")
        values: dict[str, str] = dict(line.split("=", 1) for line in text.splitlines())
        scram, mtls = (f"{kind}://{HOST}:{self.site.ports[f'kafka-{kind.lower()}']}" for kind in ("SCRAM", "MTLS"))
        for name in ("listeners", "advertised.listeners"):
            values[name] = f"{values[name]},{scram},{mtls}"
        values["listener.security.protocol.map"] = f"{values['listener.security.protocol.map']},SCRAM:SASL_SSL,MTLS:SSL"
        values |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.authority.keystore("broker")),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mtls.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram."
            "ScramLoginModule required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:admin",
        }
        self._configuration.write_text(properties(values), encoding="utf-8")

    def preparation(self) -> Sequence[str | Path]:
        scram = (f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in ("admin", *self.users))
        return [*super().preparation(), *(part for user in scram for part in ("--add-scram", user))]


@contextmanager
def secured_stack(authority: Authority, users: Sequence[str], *others: str) -> Iterator[LocalStack]:
    """Such a broker, a registry, and `others`."""
    kind = type("SecuredKafkaHere", (SecuredKafka,), {"authority": authority, "users": tuple(users)})
    with mock.patch.dict(parts.ALL, {"kafka": kind}), LocalStack(parts=("kafka", "registry", *others)) as running:
        yield running


def port_of(running: LocalStack, name: str) -> int:
    """The port of a listener: `kafka-scram`, `kafka-mtls`."""
    return next(iter(running._parts.values())).site.ports[name]


def scram_login(running: LocalStack, authority: Authority, user: str, **changed: Any) -> dict[str, Any]:
    """Settings of the section kafka by which `user` logs in; `changed` go over them."""
    login: Mapping[str, Any] = {
        "bootstrap_servers": f"{HOST}:{port_of(running, 'kafka-scram')}",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": user,
        "sasl_password_file": str(_password_file(authority)),
        "ssl_ca_file": str(authority.certificate),
    }
    return {**login, **changed}


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


def start_connect(running: LocalStack, settings: Settings) -> None:
    """Start Kafka Connect with the login that `cel2crm connectors worker-properties` prints; wait until it serves."""
    site = next(iter(running._parts.values())).site
    connect = parts.Connect(replace(site, ports={**site.ports, **choose(["connect"], {"connect": port_in(settings)})}))
    connect.home.mkdir()
    connect.prepare()
    file = connect.home / "worker.properties"
    values = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())
    file.write_text(properties(values | worker_properties(settings)), encoding="utf-8")
    pid = running.run("connect", connect.command(), cwd=connect.home)
    deadline = time.monotonic() + 120
    while not _serves(connect, pid):
        assert running.exit_status("connect") is None, running.log("connect").read_text(encoding="utf-8")[-4000:]
        assert time.monotonic() < deadline, "Connect does not come up"
        time.sleep(0.2)


def _serves(connect: parts.Connect, pid: int) -> bool:
    try:
        return is_held_by(connect.site.ports["connect"], pid) and connect.is_ready()
    except OSError:
        return False


def port_in(settings: Settings) -> int:
    """The port of connect.url."""
    port = urlsplit(settings.connect.url).port
    assert port is not None
    return port


def _password_file(authority: Authority) -> Path:
    file = authority.directory / "password"
    if not file.exists():
        file.touch(0o600)
        file.write_text(PASSWORD, encoding="utf-8")
    return file
