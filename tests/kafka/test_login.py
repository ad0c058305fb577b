"""One set of settings, and what each kind of client is given for it."""

import ssl
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.errors import SettingsError
from streams.kafka.login import client_options, connection_options, faust_credentials, librdkafka_options
from streams.settings import KafkaSettings
from tests.certificates import Authority

SCRAM = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "aggregate"}


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o640)
    return file


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def kafka(**fields: Any) -> KafkaSettings:
    return KafkaSettings.model_validate({"bootstrap_servers": "kafka1:9093", **fields})


def test_an_open_listener_needs_no_login() -> None:
    assert client_options(kafka()) == {"bootstrap_servers": "kafka1:9093", "security_protocol": "PLAINTEXT"}
    assert faust_credentials(kafka()) is None
    assert librdkafka_options(kafka()) == {"bootstrap.servers": "kafka1:9093", "security.protocol": "PLAINTEXT"}


def test_a_password_over_tls(password_file: Path, authority: Authority) -> None:
    settings = kafka(
        security_protocol="SASL_SSL", **SCRAM, sasl_password_file=password_file, ssl_ca_file=authority.certificate
    )
    options = connection_options(settings)
    context = options.pop("ssl_context")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "aggregate",
        "sasl_plain_password": "hunter2",
    }
    assert librdkafka_options(settings) == {
        "bootstrap.servers": "kafka1:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "aggregate",
        "sasl.password": "hunter2",
        "ssl.ca.location": str(authority.certificate),
    }


def test_a_clients_certificate(authority: Authority) -> None:
    certificate, key = authority.issue("aggregate")
    settings = kafka(
        security_protocol="SSL",
        ssl_ca_file=authority.certificate,
        ssl_certificate_file=certificate,
        ssl_key_file=key,
    )
    assert isinstance(connection_options(settings)["ssl_context"], ssl.SSLContext)
    assert librdkafka_options(settings)["ssl.key.location"] == str(key)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_faust_hands_on_what_aiokafka_is_given(protocol: str, password_file: Path, authority: Authority) -> None:
    sasl = SCRAM | {"sasl_password_file": password_file} if "SASL" in protocol else {}
    tls = {"ssl_ca_file": authority.certificate} if "SSL" in protocol else {}
    settings = kafka(security_protocol=protocol, **sasl, **tls)
    expected = connection_options(settings)
    handed_on = dict(credentials_to_aiokafka_auth(faust_credentials(settings)))
    for each in (expected, handed_on):
        each["ssl_context"] = each.get("ssl_context") is not None
    assert handed_on == expected


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sasl_username": "aggregate"}, "PLAINTEXT does not use sasl_"),
        ({"security_protocol": "SSL", "sasl_mechanism": "PLAIN"}, "SSL does not use sasl_"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "a"}, "wants sasl_mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "sasl_username"),
        ({"ssl_ca_file": "ca.crt"}, "PLAINTEXT does not use ssl_"),
        ({"security_protocol": "SSL", "ssl_key_file": "a.key"}, "go together"),
        ({"security_protocol": "sasl_ssl"}, "SASL_SSL"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
    ],
)
def test_a_login_that_would_silently_not_be_used_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kafka(**fields)


def test_a_missing_password_is_named(tmp_path: Path) -> None:
    settings = kafka(security_protocol="SASL_PLAINTEXT", **SCRAM)
    with pytest.raises(SettingsError, match=r"kafka\.sasl_password is not set"):
        client_options(settings)
    settings = kafka(security_protocol="SASL_PLAINTEXT", **SCRAM, sasl_password_file=tmp_path / "none")
    with pytest.raises(SettingsError, match=r"kafka\.sasl_password_file: cannot read .*none"):
        client_options(settings)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o777])
def test_a_password_that_everybody_can_read_is_refused(password_file: Path, mode: int) -> None:
    password_file.chmod(mode)
    settings = kafka(security_protocol="SASL_PLAINTEXT", **SCRAM, sasl_password_file=password_file)
    with pytest.raises(SettingsError, match=rf"mode {mode:04o}") as raised:
        client_options(settings)
    assert "chmod o=" in raised.value.remedy
    assert "hunter2" not in str(raised.value)


def test_files_that_are_no_certificates_are_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("aggregate")
    _, other = authority.issue("other")
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    tls = {"security_protocol": "SSL", "ssl_certificate_file": certificate, "ssl_key_file": key}
    for fields, words in (
        ({"ssl_ca_file": tmp_path / "none"}, r"kafka\.ssl_ca_file: cannot read .*none"),
        ({"ssl_ca_file": wrong}, r"kafka\.ssl_ca_file: .*wrong\.pem holds no certificates"),
        ({"ssl_certificate_file": tmp_path / "none"}, r"kafka\.ssl_certificate_file: cannot read"),
        ({"ssl_certificate_file": wrong}, "are no certificate with its private key"),
        ({"ssl_key_file": other}, "are no certificate with its private key"),
    ):
        with pytest.raises(SettingsError, match=words):
            client_options(kafka(**(tls | fields)))
    key.chmod(0o644)
    with pytest.raises(SettingsError, match=r"kafka\.ssl_key_file: .* may be read by others"):
        client_options(kafka(**tls))


def test_faust_never_prints_the_password(password_file: Path) -> None:
    settings = kafka(security_protocol="SASL_PLAINTEXT", **SCRAM, sasl_password_file=password_file)
    credentials = faust_credentials(settings)
    assert isinstance(credentials, faust.SASLCredentials)
    assert "hunter2" not in repr(credentials)
    assert "hunter2" not in repr(settings)
