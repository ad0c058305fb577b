"""Tokens with which clients log in to the brokers by OAUTHBEARER: from a file, an identity provider, or AWS (MSK IAM).

Asked for at every connection, so that a token that was renewed counts; kept until a fifth of its life is left.
"""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable

import aiohttp
from aiokafka.abc import AbstractTokenProvider

from streams.errors import SettingsError, UserError
from streams.kafka.client import Unreachable
from streams.settings import KafkaSettings, secret
from streams.settings.tls import tls_context

TIMEOUT_SECONDS = 10.0
_KEPT = 0.8
_UNKNOWN_LIFE = 60.0
"""Seconds, where an identity provider does not say how long its token lives."""


def token_provider(kafka: KafkaSettings) -> "Tokens":
    """The source of tokens that the settings name."""
    if kafka.sasl_oauthbearer_token_file is not None:
        return FileTokens(kafka)
    return EndpointTokens(kafka) if kafka.aws_region is None else AwsTokens(kafka)


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """As aiokafka asks for them. Raises UserError: Unreachable where it may go later, else a person must mend it."""

    def __init__(self, kafka: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._kafka = kafka
        self._clock = clock
        self._token = ""
        self._until = float("-inf")

    async def token(self) -> str:
        """A token that is still good for a while."""
        if self._clock() >= self._until:
            self._token, life = await self.fetch()
            self._until = self._clock() + life * _KEPT
        return self._token

    @abstractmethod
    async def fetch(self) -> tuple[str, float]:
        """A token, and for how many seconds it lives."""


class FileTokens(Tokens):
    """A file that something else keeps fresh, such as Kubernetes' service account tokens; read at each connection."""

    async def fetch(self) -> tuple[str, float]:
        return secret(None, self._kafka.sasl_oauthbearer_token_file, "kafka.sasl_oauthbearer_token"), 0.0


class EndpointTokens(Tokens):
    """An identity provider's token endpoint, asked with client id and secret (RFC 6749, 4.4)."""

    async def fetch(self) -> tuple[str, float]:
        url = str(self._kafka.sasl_oauthbearer_token_endpoint_url)
        password = secret(self._kafka.sasl_password, self._kafka.sasl_password_file, "kafka.sasl_password")
        form = {"grant_type": "client_credentials"}
        if self._kafka.sasl_oauthbearer_scope is not None:
            form["scope"] = self._kafka.sasl_oauthbearer_scope
        authority = self._kafka.sasl_oauthbearer_ca_file
        tls = tls_context("kafka.sasl_oauthbearer", authority, None, None) if authority else True
        login = {"Authorization": aiohttp.encode_basic_auth(str(self._kafka.sasl_username), password, "utf-8")}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS)) as session,
                session.post(url, data=form, headers=login, ssl=tls, allow_redirects=False) as answer,
            ):
                return self._taken(url, answer.status, await answer.json(content_type=None))
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise Unreachable(
                f"no token from {url}: {str(error) or 'no answer in time'}",
                "Is kafka.sasl_oauthbearer_token_endpoint_url the identity provider's, and does it run?",
            ) from None
        except ValueError:
            raise UserError(f"no token from {url}: it answers no JSON", "Is that its token endpoint?") from None

    def _taken(self, url: str, status: int, answer: object) -> tuple[str, float]:
        if status >= 500:
            raise Unreachable(f"no token from {url}: HTTP {status}", "The identity provider has a fault; wait for it.")
        told = answer if isinstance(answer, dict) else {}
        token = told.get("access_token")
        if status != 200 or not isinstance(token, str):
            raise UserError(
                f"no token from {url}: HTTP {status}, {str(told.get('error', 'no access_token'))[:80]}",
                "Check kafka.sasl_username (the client's id), kafka.sasl_password_file, kafka.sasl_oauthbearer_scope.",
            )
        life = told.get("expires_in")
        return token, float(life) if isinstance(life, int | float) else _UNKNOWN_LIFE


class AwsTokens(Tokens):
    """Tokens of AWS MSK IAM: signed on this machine with the credentials that AWS's library finds. Asks nobody."""

    async def fetch(self) -> tuple[str, float]:
        try:
            from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
        except ImportError:
            raise SettingsError(
                "kafka.aws_region: AWS MSK IAM needs the package aws-msk-iam-sasl-signer-python",
                "Install cel2crm with its extra `msk` (docs/package.md).",
            ) from None
        loop = asyncio.get_running_loop()
        try:
            token, expires_ms = await loop.run_in_executor(
                None, MSKAuthTokenProvider.generate_auth_token, self._kafka.aws_region
            )
        except Exception as error:  # botocore's, which is not there without the extra
            raise UserError(
                f"no token of AWS MSK IAM: {error}",
                "Does this machine have AWS credentials (a role, or AWS_* in the environment)?",
            ) from None
        return str(token), expires_ms / 1000 - time.time()
