"""Why no broker can be used, in words: by servers that are none. Real brokers: test_security_servers.py."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from streams.errors import UserError
from streams.kafka.client import Unreachable, unreachable
from streams.kafka.reach import LoginRefused, failure_of, require_reach
from streams.settings import KafkaSettings
from tests.certificates import Authority

SASL = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "aggregate", "sasl_password": "hunter2"}


def kafka(**fields: Any) -> KafkaSettings:
    return KafkaSettings.model_validate({"bootstrap_servers": "kafka1:9093", **fields})


@asynccontextmanager
async def serving(*, closing: bool, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that closes each connection at its first bytes, or never answers. Its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            if not closing:
                await reader.read()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("error", "fields", "kind", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), {}, Unreachable, "no such host: kafka1:9093"),
        (ConnectionRefusedError(111, "Connection refused"), {}, Unreachable, "no Kafka broker at kafka1:9093"),
        (TimeoutError(), {}, Unreachable, "answers in time"),
        (KafkaConnectionError("closed"), {}, Unreachable, "was closed without an answer"),
        (SaslAuthenticationFailed("no"), SASL, LoginRefused, "refuses the login of aggregate"),
        (UnsupportedSaslMechanismError("no"), SASL, LoginRefused, "takes no login by SCRAM-SHA-512"),
        (IllegalSaslStateError("no"), SASL, LoginRefused, "asks for no login"),
    ],
)
def test_each_failure_in_words(error: Exception, fields: dict[str, Any], kind: type[UserError], words: str) -> None:
    settings = kafka(**({"security_protocol": "SASL_PLAINTEXT"} | fields if fields else {}))
    failure = failure_of(error, "kafka1:9093", settings)
    assert type(failure) is kind
    assert words in failure.problem
    assert failure.remedy
    assert "hunter2" not in str(failure)


async def test_a_listener_of_another_kind_is_guessed() -> None:
    async with serving(closing=True) as address:
        with pytest.raises(Unreachable, match="was closed without an answer") as raised:
            await require_reach(kafka(bootstrap_servers=address))
    assert "TLS or a login" in raised.value.remedy


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    async with serving(closing=False) as address:
        with pytest.raises(Unreachable, match="answers in time"):
            await require_reach(kafka(bootstrap_servers=address), seconds=0.2)


async def test_one_that_answers_tells_more_than_those_that_are_away(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*Authority(tmp_path).issue("broker"))
    async with serving(closing=True, context=context) as address:
        with pytest.raises(LoginRefused, match="signed by nobody whom ssl_ca_file names"):
            await require_reach(kafka(bootstrap_servers=f"127.0.0.1:1,{address}", security_protocol="SSL"))


@pytest.mark.parametrize(
    "error", [TopicAuthorizationFailedError("acme.cel"), GroupAuthorizationFailedError("acme.cel")]
)
def test_a_missing_right_is_no_missing_broker(error: Exception) -> None:
    refused = unreachable(kafka(), error)
    assert not isinstance(refused, Unreachable)
    assert "have no ACL for what is asked" in refused.problem
    assert "acme.cel" in refused.problem


async def test_what_aiokafka_logs_is_heard_again_after_many_connected_at_once() -> None:
    chatter = logging.getLogger("aiokafka")
    before = chatter.level
    async with serving(closing=False) as slow, serving(closing=True) as quick:
        asked = [require_reach(kafka(bootstrap_servers=each), seconds=0.3) for each in (slow, quick, slow)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, Unreachable) for answer in answers)
    assert chatter.level == before
