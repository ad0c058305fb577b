"""The login of Kafka Connect and of every client within it, from the settings."""

from pathlib import Path
from typing import Any

import pytest

from connectors.kafka_login import DEBEZIUM_CLIENTS, WORKER_CLIENTS, worker_properties
from connectors.source import source_config
from streams.errors import SettingsError
from streams.settings import Settings

SCRAM = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "operator",
    "sasl_password": "hunter2",
    "ssl_ca_file": Path("/etc/cel2crm/ca.crt"),
}
CONNECT = {"kafka": {"sasl_username": "connect"}}

EXPECTED = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
    'username="connect" password="${file:/etc/cel2crm/connect-secrets.properties:kafka.password}";',
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": "/etc/cel2crm/ca.crt",
}


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"kafka": SCRAM, "connect": CONNECT, **sections})


@pytest.mark.parametrize("client", DEBEZIUM_CLIENTS)
def test_each_client_of_debezium_logs_in(client: str) -> None:
    config = source_config(settings())
    assert {name: config[client + name] for name in EXPECTED} == EXPECTED


@pytest.mark.parametrize("client", WORKER_CLIENTS)
def test_each_client_of_the_worker_logs_in(client: str) -> None:
    properties = worker_properties(settings())
    assert {name: properties[client + name] for name in EXPECTED} == EXPECTED


def test_what_the_login_refers_to_is_looked_up_by_the_worker() -> None:
    assert worker_properties(settings())["config.providers.file.class"].endswith("FileConfigProvider")


def test_an_open_listener_changes_nothing() -> None:
    assert worker_properties(Settings()) == {
        "bootstrap.servers": "127.0.0.1:9092",
        "producer.compression.type": "zstd",
        "consumer.isolation.level": "read_committed",
    }
    assert not [name for name in source_config(Settings()) if "sasl" in name or "ssl" in name or "security" in name]


def test_no_secret_of_ours_reaches_connect() -> None:
    for properties in (source_config(settings()), worker_properties(settings())):
        assert "hunter2" not in str(properties)
        assert "operator" not in str(properties)


def test_a_clients_certificate_is_a_file_on_connects_host() -> None:
    mutual = {"security_protocol": "SSL", "ssl_certificate_file": Path("a.crt"), "ssl_key_file": Path("a.key")}
    with pytest.raises(SettingsError, match=r"connect\.kafka\.ssl_keystore_file is not set"):
        source_config(settings(kafka=mutual))
    known = source_config(settings(kafka=mutual, connect={"kafka": {"ssl_keystore_file": "/etc/cel2crm/connect.pem"}}))
    assert known["signal.consumer.ssl.keystore.location"] == "/etc/cel2crm/connect.pem"
    assert known["signal.consumer.ssl.keystore.type"] == "PEM"


@pytest.mark.parametrize(
    ("connect", "words"),
    [
        ({}, r"connect\.kafka\.sasl_username is not set"),
        ({"kafka": {"sasl_username": "connect", "sasl_password_reference": "hunter2"}}, "is not a reference"),
        ({**CONNECT, "properties": {"snapshot.mode": "initial"}}, r"properties\.snapshot\.mode: cel2crm sets"),
        ({**CONNECT, "properties": {"signal.consumer.security.protocol": "SSL"}}, "cel2crm sets this property"),
        ({**CONNECT, "properties": {"driver.password": "hunter3"}}, "by reference only"),
        ({**CONNECT, "properties": {"producer.override.sasl.jaas.config": "x password=hunter3"}}, "by reference only"),
    ],
)
def test_what_cannot_be_is_refused_without_its_value(connect: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        source_config(settings(connect=connect))
    assert "hunter" not in str(raised.value)


def test_further_properties_stand_beside_ours() -> None:
    further = {"max.batch.size": 4096, "driver.trustStore": "/etc/x", "database.ssl.mode": "required", "a.b": True}
    config = source_config(settings(connect={**CONNECT, "properties": further}))
    assert config["max.batch.size"] == "4096"
    assert config["a.b"] == "true"
    assert config.keys() - source_config(settings()).keys() == further.keys()
