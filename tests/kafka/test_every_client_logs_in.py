"""No module opens a connection to Kafka, the registry or Connect but with the login of the settings."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS = ("AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "create_conn")
LOGINS = ("client_options", "consumer_options", "connection_options", "own_login")
ONLY_IN = {
    "SchemaRegistry": {"streams/http/service.py"},
    "ConnectClient": {"connectors/apply.py"},
    "ClientSession": {"schemas/registry.py"},  # and what is no server of the pipeline, see below
}
OTHER_HTTP = (
    "streams/kafka/oauth.py",  # the identity provider that gives tokens for the brokers
    "connectors/sinks/iceberg/",  # a lake's catalog
    "streams/crm/",
    "streams/http/",
    "streams/credentials/",
    "streams/recordings/",
    "streams/workers/deliver/",
)


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    for folder in ("streams", "connectors", "schemas"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    yield str(path.relative_to(ROOT)), name, node


CALLS = list(calls())


def test_every_client_of_kafka_is_given_the_login() -> None:
    opened = [(path, node) for path, name, node in CALLS if name in CLIENTS]
    assert len(opened) >= 8
    for path, node in opened:
        spread = [each.value for each in node.keywords if each.arg is None and isinstance(each.value, ast.Call)]
        names = {getattr(each.func, "id", "") for each in spread}
        own = {"consumer_options"} if getattr(node.func, "id", "") == "AIOKafkaConsumer" else set(LOGINS)
        assert names & own, f"{path}:{node.lineno}"


def test_fausts_app_is_given_the_login() -> None:
    (app,) = [node for path, name, node in CALLS if name == "App" and path == "streams/kafka/worker_runtime.py"]
    assert "broker_credentials" in [each.arg for each in app.keywords]


def test_registry_and_connect_are_opened_in_one_place() -> None:
    for path, name, node in CALLS:
        if name in ONLY_IN and not (name == "ClientSession" and path.startswith(OTHER_HTTP)):
            assert path in ONLY_IN[name], f"{path}:{node.lineno}"
