"""Logging in by tokens: from a file, from an identity provider, from AWS. On a broker: test_security_servers.py."""

import asyncio
import base64
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import faust
import pytest
from aiohttp import web
from pydantic import ValidationError

from connectors.kafka_login import login_properties
from streams.errors import SettingsError, UserError
from streams.kafka.client import Unreachable
from streams.kafka.login import connection_options, faust_credentials, librdkafka_options
from streams.kafka.oauth import AwsTokens, EndpointTokens, FileTokens, token_provider
from streams.settings import KafkaSettings, Settings

OAUTH: dict[str, Any] = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}


def kafka(**changed: Any) -> KafkaSettings:
    return KafkaSettings.model_validate({**OAUTH, **changed})


class Provider:
    """An identity provider's token endpoint."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.answer: Any = {"access_token": "token-1", "expires_in": 100}

    async def serve(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append({**form, "login": request.headers["Authorization"]})
        if isinstance(self.answer, str):
            return web.Response(text=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)


@asynccontextmanager
async def endpoint(provider: Provider) -> AsyncIterator[KafkaSettings]:
    app = web.Application()
    app.router.add_post("/token", provider.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (address,) = runner.addresses
    url = f"http://127.0.0.1:{address[1]}/token"
    try:
        yield kafka(
            sasl_oauthbearer_token_endpoint_url=url,
            sasl_username="cel2crm",
            sasl_password="hunter2",
            sasl_oauthbearer_scope="kafka",
        )
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "wants one of sasl_oauthbearer_token_file"),
        ({"sasl_oauthbearer_token_file": "/t", "aws_region": "eu-1"}, "wants one of"),
        ({"sasl_oauthbearer_token_endpoint_url": "https://id/token"}, "wants sasl_username"),
        ({"sasl_oauthbearer_token_file": "/t", "sasl_mechanism": "PLAIN", "sasl_username": "a"}, "are for sasl_mech"),
        ({"aws_region": "eu-1", "security_protocol": "SSL", "sasl_mechanism": None}, "are for sasl_mechanism"),
    ],
)  # fmt: skip
def test_half_a_login_by_token_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        kafka(**changed)


async def test_a_file_is_read_at_every_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    settings = kafka(sasl_oauthbearer_token_file=file)
    provider = token_provider(settings)
    for token in ("first", "second"):
        file.write_text(f"{token}\n", encoding="utf-8")
        assert await provider.token() == token
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="sasl_oauthbearer_token"):
        await provider.token()


async def test_an_identity_provider_is_asked_once_until_the_token_is_old() -> None:
    provider = Provider()
    now = 1000.0
    async with endpoint(provider) as settings:
        tokens = EndpointTokens(settings, lambda: now)
        assert [await tokens.token() for _ in range(3)] == ["token-1"] * 3
        assert provider.asked == [
            {
                "grant_type": "client_credentials",
                "scope": "kafka",
                "login": f"Basic {base64.b64encode(b'cel2crm:hunter2').decode()}",
            }
        ]
        provider.answer = {"access_token": "token-2"}
        now += 81
        assert await tokens.token() == "token-2"


@pytest.mark.parametrize(
    ("status", "answer", "kind", "said"),
    [
        (401, {"error": "invalid_client"}, UserError, "HTTP 401, invalid_client"),
        (200, {"token": "x"}, UserError, "no access_token"),
        (200, "<html>", UserError, "no JSON"),
        (503, {}, Unreachable, "HTTP 503"),
    ],
)
async def test_why_there_is_no_token(status: int, answer: Any, kind: type[UserError], said: str) -> None:
    provider = Provider()
    provider.status, provider.answer = status, answer
    async with endpoint(provider) as settings:
        with pytest.raises(kind, match=said) as refused:
            await EndpointTokens(settings).token()
    assert isinstance(refused.value, Unreachable) == (kind is Unreachable)
    assert "hunter2" not in f"{refused.value.problem}{refused.value.remedy}"


async def test_an_identity_provider_that_is_away_may_come_back() -> None:
    async with endpoint(Provider()) as settings:
        pass
    with pytest.raises(Unreachable, match="no token from"):
        await EndpointTokens(settings).token()


async def test_aws_signs_here_and_its_package_is_named_where_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = kafka(aws_region="eu-central-1")
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(SettingsError, match="aws-msk-iam-sasl-signer-python"):
        await AwsTokens(settings).token()
    regions: list[str] = []

    class MSKAuthTokenProvider:
        @staticmethod
        def generate_auth_token(region: str) -> tuple[str, float]:
            regions.append(region)
            if len(regions) > 1:
                raise RuntimeError("no credentials")
            return "signed", (time.time() + 900) * 1000

    signer: Any = ModuleType("aws_msk_iam_sasl_signer")
    signer.MSKAuthTokenProvider = MSKAuthTokenProvider
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", signer)
    tokens = AwsTokens(settings)
    assert [await tokens.token(), await tokens.token()] == ["signed", "signed"]
    assert regions == ["eu-central-1"]
    with pytest.raises(UserError, match="no credentials"):
        await AwsTokens(settings).token()


def test_every_kind_of_client_is_given_the_tokens(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = kafka(sasl_oauthbearer_token_file=file)
    options = connection_options(settings)
    assert options["sasl_mechanism"] == "OAUTHBEARER"
    assert isinstance(options["sasl_oauth_token_provider"], FileTokens)
    assert isinstance(faust_credentials(settings), faust.OAuthCredentials)
    url = "https://id.example.org/token"
    by_endpoint = kafka(sasl_oauthbearer_token_endpoint_url=url, sasl_username="a", sasl_password="hunter2")
    assert librdkafka_options(by_endpoint)["sasl.oauthbearer.token.endpoint.url"] == url


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"aws_region": "eu-1"}, {"sasl.mechanism": "AWS_MSK_IAM"}),
        ({"sasl_oauthbearer_token_file": "/run/token"}, {"sasl.oauthbearer.token.endpoint.url": "file:///run/token"}),
        (
            {"sasl_oauthbearer_token_endpoint_url": "https://id/token", "sasl_username": "a"},
            {
                "sasl.oauthbearer.token.endpoint.url": "https://id/token",
                "sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
                'clientId="connect" clientSecret="${file:/s.properties:kafka.password}";',
            },
        ),
    ],
)
def test_connect_logs_in_likewise_with_a_secret_by_reference(changed: dict[str, Any], wanted: dict[str, str]) -> None:
    login = {"sasl_username": "connect", "sasl_password_reference": "${file:/s.properties:kafka.password}"}
    settings = Settings.model_validate({"kafka": {**OAUTH, **changed}, "connect": {"kafka": login}})
    properties = login_properties(settings)
    assert {name: properties[name] for name in wanted} == wanted


def test_the_loop_that_asks_may_be_another_each_time() -> None:
    """The watch of the connectors beside workers has a loop of its own, in a thread."""

    async def asked(tokens: EndpointTokens, settings: KafkaSettings) -> str:
        provider = Provider()
        async with endpoint(provider) as served:
            tokens._kafka = served
            return await tokens.token()

    settings = kafka(sasl_oauthbearer_token_endpoint_url="https://id/t", sasl_username="a", sasl_password="b")
    tokens = EndpointTokens(settings, iter((0.0, 0.0, 1e6, 1e6)).__next__)
    assert [asyncio.run(asked(tokens, settings)) for _ in range(2)] == ["token-1", "token-1"]
