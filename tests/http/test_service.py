"""Logging in to servers with an HTTP interface: the registry and Kafka Connect, over TLS."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.apply import connect_client
from streams.errors import SettingsError, UserError
from streams.http.service import http_access, schema_registry
from streams.settings import RegistrySettings, Settings
from tests.certificates import Authority

USER, PASSWORD = "cel2crm", "pässword"

Ask = Callable[[dict[str, Any]], Awaitable[None]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def login(authority: Authority, tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    return {"username": USER, "password_file": file, "ssl_ca_file": authority.certificate}


@asynccontextmanager
async def serving(authority: Authority, *, want_certificate: bool = False, days: int = 1) -> AsyncIterator[str]:
    """A server that lets in who has the password. Its address."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != aiohttp.encode_basic_auth(USER, PASSWORD, "utf-8"):
            return web.Response(status=401, text="who are you?")
        return web.json_response([])

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(*authority.issue("server", days=days))
    context.verify_mode = ssl.CERT_REQUIRED if want_certificate else ssl.CERT_NONE
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    try:
        yield f"https://127.0.0.1:{server.port}"
    finally:
        await server.close()


async def ask_registry(fields: dict[str, Any]) -> None:
    async with schema_registry(RegistrySettings(**fields)) as registry:
        await registry.require()


async def ask_connect(fields: dict[str, Any]) -> None:
    async with connect_client(Settings.model_validate({"connect": fields})) as connect:
        await connect.names()


both = pytest.mark.parametrize("ask", [ask_registry, ask_connect])


@both
async def test_a_password_over_tls(authority: Authority, login: dict[str, Any], ask: Ask) -> None:
    async with serving(authority) as url:
        await ask({"url": url, **login})


@both
async def test_a_clients_certificate(authority: Authority, login: dict[str, Any], ask: Ask) -> None:
    certificate, key = authority.issue("client")
    async with serving(authority, want_certificate=True) as url:
        await ask({"url": url, **login, "ssl_certificate_file": certificate, "ssl_key_file": key})
        with pytest.raises(UserError, match="it may want a client's certificate"):
            await ask({"url": url, **login})


@both
async def test_a_wrong_password_is_told(authority: Authority, login: dict[str, Any], ask: Ask) -> None:
    login["password_file"].write_text("wrong", encoding="utf-8")
    async with serving(authority) as url:
        with pytest.raises(UserError, match="refuses the login: HTTP 401") as raised:
            await ask({"url": url, **login})
    assert "password_file" in raised.value.remedy
    assert "wrong" not in str(raised.value)


@both
async def test_an_unknown_authority_is_told(authority: Authority, login: dict[str, Any], ask: Ask) -> None:
    async with serving(authority) as url:
        with pytest.raises(UserError, match="signed by nobody whom ssl_ca_file names"):
            await ask({"url": url, **login, "ssl_ca_file": None})


@both
async def test_an_expired_certificate_is_told(authority: Authority, login: dict[str, Any], ask: Ask) -> None:
    async with serving(authority, days=-1) as url:
        with pytest.raises(UserError, match="its certificate is not valid now"):
            await ask({"url": url, **login})


@both
async def test_an_open_port_is_told(authority: Authority, login: dict[str, Any], ask: Ask) -> None:
    async with TestServer(web.Application(), host="127.0.0.1") as server:
        with pytest.raises(UserError, match="does not speak TLS"):
            await ask({"url": f"https://127.0.0.1:{server.port}", **login})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "http://r", "username": "a"}, "username and password_file go together"),
        ({"url": "http://r", "password_file": "a"}, "username and password_file go together"),
        ({"url": "http://r", "ssl_ca_file": "ca.crt"}, "https://"),
        ({"url": "http://user:word@r", "username": "a", "password": "b"}, "a user of its own"),
        ({"url": "https://r", "ssl_key_file": "a.key"}, "go together"),
    ],
)
def test_half_a_login_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RegistrySettings(**fields)


def test_a_password_that_everybody_can_read_is_refused(login: dict[str, Any]) -> None:
    login["password_file"].chmod(0o644)
    registry = RegistrySettings(url="https://r", **login)
    with pytest.raises(SettingsError, match=r"registry\.password_file: .* may be read by others"):
        http_access(registry, "registry")
