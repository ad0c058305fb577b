"""The settings of the section `kafka` as each kind of client takes them: aiokafka, Faust, librdkafka.

Nothing else in the product names brokers to a client. How Connect logs in: connectors/kafka_login.py.

Files are read anew for each client, so that what was renewed meanwhile counts. All raise SettingsError: a file that
cannot be read or used, or that everybody on the machine can read.
"""

from typing import TYPE_CHECKING, Any

from streams.kafka.bootstrap import use_first_answer
from streams.kafka.gone_topics import bear_gone_topics
from streams.kafka.oauth import token_provider
from streams.kafka.zstd import use_kept_coders
from streams.settings import KafkaSettings, secret
from streams.settings.tls import tls_context

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

IDLE_LOOK_MS = 5_000
"""How often a consumer's fetcher looks whether there is something to do, beside when it is woken, as it is by whatever
gives it work. aiokafka's 200 ms are most of what a process at rest does."""


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments of every client of aiokafka: where the brokers are, and how to log in."""
    options: dict[str, Any] = {"bootstrap_servers": kafka.bootstrap_servers, **connection_options(kafka)}
    return options


def consumer_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The same of every consumer."""
    return {**client_options(kafka), "consumer_timeout_ms": IDLE_LOOK_MS}


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """As `client_options`, for a connection to one broker."""
    use_kept_coders()
    use_first_answer()
    bear_gone_topics()
    options: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if kafka.with_tls:
        options["ssl_context"] = tls_context("kafka", kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file)
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": token_provider(kafka)}
    elif kafka.with_sasl:
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": _password(kafka),
        }
    return options


def faust_credentials(kafka: KafkaSettings) -> "CredentialsT | None":
    """Faust's `broker_credentials`; None: an open listener."""
    import faust  # takes a second: not for every command

    options = connection_options(kafka)
    context = options.get("ssl_context")
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return faust.OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    if kafka.with_sasl:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def librdkafka_options(kafka: KafkaSettings) -> dict[str, str]:
    """The configuration of a client of confluent-kafka (librdkafka), as analysts and the tests use it.

    With OAUTHBEARER by an identity provider alone: for a token file and AWS it wants a function of the client's own.
    """
    options = {"bootstrap.servers": kafka.bootstrap_servers, "security.protocol": kafka.security_protocol}
    files = {
        "ssl.ca.location": kafka.ssl_ca_file,
        "ssl.certificate.location": kafka.ssl_certificate_file,
        "ssl.key.location": kafka.ssl_key_file,
    }
    options |= {name: str(file) for name, file in files.items() if file is not None}
    if kafka.sasl_oauthbearer_token_endpoint_url is not None:
        options |= {
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": kafka.sasl_oauthbearer_token_endpoint_url,
            "sasl.oauthbearer.client.id": str(kafka.sasl_username),
            "sasl.oauthbearer.client.secret": _password(kafka),
        }
        options |= {"sasl.oauthbearer.scope": kafka.sasl_oauthbearer_scope} if kafka.sasl_oauthbearer_scope else {}
    elif kafka.with_sasl and kafka.sasl_mechanism != "OAUTHBEARER":
        options |= {
            "sasl.mechanism": str(kafka.sasl_mechanism),
            "sasl.username": str(kafka.sasl_username),
            "sasl.password": _password(kafka),
        }
    return options


def _password(kafka: KafkaSettings) -> str:
    return secret(kafka.sasl_password, kafka.sasl_password_file, "kafka.sasl_password")
