"""A connection to the brokers made step by step, so that each failure has words of its own: address, TLS, login.

aiokafka itself says "Unable to bootstrap" to all of them.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from streams.errors import UserError
from streams.kafka.client import Unreachable
from streams.kafka.first_answer import first_answer
from streams.kafka.login import connection_options
from streams.kafka.requests import MetadataRequest
from streams.settings import KafkaSettings
from streams.tls_failures import tls_failure

_DEFAULT_PORT = 9092
_CLOSE_SECONDS = 1.0


class LoginRefused(UserError):
    """The brokers answer, and let nobody in by these settings: it stays so until a person mends it."""


@asynccontextmanager
async def reached(kafka: KafkaSettings, *, seconds: float = 10.0) -> AsyncIterator[AIOKafkaConnection]:
    """A connection to the first broker that lets us in; one that is silent keeps no other from being asked.

    Raises Unreachable: none answers; LoginRefused: one answers, but TLS or login fail; SettingsError.
    """
    failures: list[UserError] = []

    async def attempt(server: str) -> AIOKafkaConnection | None:
        try:
            return await connected(server.strip(), kafka, seconds)
        except UserError as failure:
            failures.append(failure)
            return None

    with _silence:
        servers = kafka.bootstrap_servers.split(",")
        connection = await first_answer([partial(attempt, server) for server in servers], AIOKafkaConnection.close)
        if connection is None:
            # A broker that answers tells more than those that are away.
            raise next((each for each in failures if isinstance(each, LoginRefused)), failures[0])
        try:
            yield connection
        finally:
            await close(connection)


async def close(connection: AIOKafkaConnection) -> None:
    """Close a connection, and wait a moment until it is: over TLS that takes a message each way."""
    closed = connection.close()
    if connection._protocol is not None:  # it was open
        await asyncio.wait([closed], timeout=_CLOSE_SECONDS)


async def require_reach(kafka: KafkaSettings, *, seconds: float = 10.0) -> None:
    """Raise what `reached` raises. For commands, before their clients connect."""
    async with reached(kafka, seconds=seconds):
        pass


async def connected(server: str, kafka: KafkaSettings, seconds: float) -> AIOKafkaConnection:
    """A connection to one broker, `host:port`, that answers requests. Raises as `reached` does."""
    host, port = _host_and_port(server)
    connection = AIOKafkaConnection(
        host, port, client_id="cel2crm", request_timeout_ms=round(seconds * 1000), **connection_options(kafka)
    )
    try:
        async with asyncio.timeout(seconds):
            await connection.connect()
            # A listener that wants a login lets ApiVersions pass, and closes at anything else.
            await connection.send(MetadataRequest([]))
        if not connection.connected():
            # aiokafka takes the answer to a token that is refused (RFC 7628, 3.2.3) for a login, and the broker closes.
            raise SaslAuthenticationFailed
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        await close(connection)
        raise failure_of(error, server, kafka) from None
    return connection


def failure_of(error: BaseException, server: str, kafka: KafkaSettings) -> UserError:
    """Why a connection to `server` failed, in words. Pure."""
    if isinstance(error, socket.gaierror):
        return Unreachable(f"no such host: {server} ({error.strerror})", "Check kafka.bootstrap_servers, and the DNS.")
    if kafka.with_tls and (failure := tls_failure(error)):
        return LoginRefused(
            f"the Kafka broker at {server} cannot be used: {failure.problem}", f"{failure.remedy} (kafka.ssl_*)"
        )
    if (refused := _login_failure(error, server, kafka)) is not None:
        return refused
    if isinstance(error, ConnectionResetError | KafkaConnectionError | AssertionError):
        return _closed(server, kafka)
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"no Kafka broker at {server} answers in time",
            "Is it overloaded, or does a firewall drop packets? Is kafka.bootstrap_servers their address?",
        )
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(
        f"no Kafka broker at {server} ({words})", "Start it, or set kafka.bootstrap_servers to where it listens."
    )


def _login_failure(error: BaseException, server: str, kafka: KafkaSettings) -> UserError | None:
    if isinstance(error, UnsupportedSaslMechanismError):
        return LoginRefused(
            f"the Kafka broker at {server} takes no login by {kafka.sasl_mechanism}",
            "Set kafka.sasl_mechanism to one that the listener has (its sasl.enabled.mechanisms).",
        )
    if isinstance(error, IllegalSaslStateError):
        return LoginRefused(
            f"the Kafka broker at {server} asks for no login on this listener",
            f"Use the listener that does, or kafka.security_protocol {'SSL' if kafka.with_tls else 'PLAINTEXT'}.",
        )
    if isinstance(error, SaslAuthenticationFailed) and kafka.sasl_mechanism == "OAUTHBEARER":
        return LoginRefused(
            f"the Kafka broker at {server} refuses the token of this client: not signed by whom it trusts, for another "
            "audience, or expired",
            "Compare kafka.sasl_oauthbearer_* (or kafka.aws_region) with what the listener expects of tokens.",
        )
    if isinstance(error, SaslAuthenticationFailed) or (kafka.with_sasl and isinstance(error, ValueError)):
        return LoginRefused(
            f"the Kafka broker at {server} refuses the login of {kafka.sasl_username}: wrong password, or no such user",
            "Check kafka.sasl_username and kafka.sasl_password_file.",
        )
    return None


def _closed(server: str, kafka: KafkaSettings) -> UserError:
    """The broker took the connection, and closed it: it, or the network, may also just have gone away."""
    if kafka.security_protocol == "PLAINTEXT":
        guess = "It may be a listener that wants TLS or a login: see kafka.security_protocol."
    elif kafka.sasl_mechanism == "OAUTHBEARER":
        guess = "It may refuse the token, or be a listener of another kind than kafka.security_protocol."
    elif kafka.with_tls and kafka.ssl_certificate_file is None:
        guess = "It may want a client's certificate (kafka.ssl_certificate_file), a login, or no TLS at all."
    else:
        guess = f"It may be a listener of another kind than kafka.security_protocol {kafka.security_protocol}."
    return Unreachable(
        f"no Kafka broker at {server}: the connection was closed without an answer",
        f"{guess} Or kafka.bootstrap_servers is another server's address.",
    )


def _host_and_port(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon or (server.endswith("]")):
        return server.strip("[]"), _DEFAULT_PORT
    return host.strip("[]"), int(port)


class _Silence:
    """While anyone connects, aiokafka logs nothing of a connection that fails: the UserError says it better."""

    def __init__(self) -> None:
        self._chatter = logging.getLogger("aiokafka")
        self._level = logging.NOTSET
        self._connecting = 0
        """How many do: the level of before is put back by the last of them."""

    def __enter__(self) -> None:
        if not self._connecting:
            self._level = self._chatter.level
            self._chatter.setLevel(logging.CRITICAL)
        self._connecting += 1

    def __exit__(self, *_: object) -> None:
        self._connecting -= 1
        if not self._connecting:
            self._chatter.setLevel(self._level)


_silence = _Silence()
