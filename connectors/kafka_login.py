"""How Kafka Connect and its connectors log in to the brokers, as properties: Java's names, secrets by reference only.

Connect has four clients (its own, and those named producer., consumer. and admin.), Debezium three more, for its
signals and its schema history. Each takes the same properties under a prefix of its own; one that is forgotten finds no
broker. Source: https://kafka.apache.org/documentation/#connectconfigs, Debezium's reference of each connector.
"""

from collections.abc import Mapping

from connectors.references import REFERENCE, require_reference
from streams.errors import SettingsError
from streams.settings import Settings

WORKER_CLIENTS = ("", "producer.", "consumer.", "admin.")
DEBEZIUM_CLIENTS = ("signal.consumer.", "schema.history.internal.producer.", "schema.history.internal.consumer.")

_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}

_OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLogin"
"""Since Kafka 4.0 Java wants -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls (or .files) with the same address."""

_AWS = {
    "sasl.mechanism": "AWS_MSK_IAM",
    "sasl.jaas.config": "software.amazon.msk.auth.iam.IAMLoginModule required;",
    "sasl.client.callback.handler.class": "software.amazon.msk.auth.iam.IAMClientCallbackHandler",
}
"""With AWS's aws-msk-iam-auth on Connect's class path, and a role of Connect's host."""


def login_properties(settings: Settings) -> dict[str, str]:
    """What one Java client needs to log in; empty for an open listener. Raises SettingsError: a part is not set."""
    kafka, connect = settings.kafka, settings.connect.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return {}
    properties: dict[str, str] = {"security.protocol": kafka.security_protocol}
    authorities = connect.ssl_ca_file or kafka.ssl_ca_file
    if kafka.with_tls and authorities is not None:
        properties |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(authorities)}
    if kafka.with_tls and connect.ssl_keystore_file is not None:
        properties |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(connect.ssl_keystore_file)}
    elif kafka.ssl_certificate_file is not None:
        raise SettingsError(
            "connect.kafka.ssl_keystore_file is not set: the brokers want a client's certificate of Kafka Connect too",
            "Set it to a PEM file on Connect's host that holds Connect's private key and certificate.",
        )
    if kafka.aws_region is not None:
        properties |= _AWS
    elif kafka.sasl_oauthbearer_token_file is not None:
        properties |= _oauth(f"file://{kafka.sasl_oauthbearer_token_file}", "")
    elif kafka.with_sasl:
        if connect.sasl_username is None:
            raise SettingsError(
                "connect.kafka.sasl_username is not set: Kafka Connect logs in to the brokers with a name of its own",
                "Set it, and write the password where connect.kafka.sasl_password_reference leads to.",
            )
        require_reference("connect.kafka.sasl_password_reference", connect.sasl_password_reference, "kafka.password")
        mechanism = str(kafka.sasl_mechanism)
        if kafka.sasl_oauthbearer_token_endpoint_url is not None:
            scope = f' scope="{kafka.sasl_oauthbearer_scope}"' if kafka.sasl_oauthbearer_scope else ""
            login = f' clientId="{connect.sasl_username}" clientSecret="{connect.sasl_password_reference}"{scope}'
            return properties | _oauth(kafka.sasl_oauthbearer_token_endpoint_url, login)
        properties |= {
            "sasl.mechanism": mechanism,
            "sasl.jaas.config": f'{_LOGIN_MODULES[mechanism]} required username="{connect.sasl_username}" '
            f'password="{connect.sasl_password_reference}";',
        }
    return properties


def _oauth(address: str, login: str) -> dict[str, str]:
    return {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.jaas.config": f"{_OAUTH}Module required{login};",
        "sasl.login.callback.handler.class": f"{_OAUTH}CallbackHandler",
        "sasl.oauthbearer.token.endpoint.url": address,
    }


def debezium_properties(settings: Settings, *, history: bool = True) -> dict[str, str]:
    """The login of Debezium's own clients, for a connector's configuration; `history`: it has a schema history."""
    clients = DEBEZIUM_CLIENTS if history else DEBEZIUM_CLIENTS[:1]
    return _prefixed(clients, login_properties(settings))


def worker_properties(settings: Settings) -> dict[str, str]:
    """The lines of Connect's own properties file (connect-distributed.properties) that have to do with the brokers."""
    # As the topics have it (topics.yaml): else the brokers compress every batch anew.
    properties = {"bootstrap.servers": settings.kafka.bootstrap_servers, "producer.compression.type": "zstd"}
    # For sinks: else they write what a worker that was cut off had begun to write to a delivery log.
    properties["consumer.isolation.level"] = "read_committed"
    properties |= _prefixed(WORKER_CLIENTS, login_properties(settings))
    providers = {found["provider"] for value in properties.values() for found in REFERENCE.finditer(value)}
    if providers == {"file"}:
        properties |= {
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        }
    return properties


def _prefixed(prefixes: tuple[str, ...], properties: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}{name}": value for prefix in prefixes for name, value in properties.items()}
