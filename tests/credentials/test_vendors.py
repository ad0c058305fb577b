"""The token endpoints of the fake portals: each answer, and what it proves about the refresh token."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal
from streams.clock import MICROS_PER_SECOND, boot_seconds
from streams.crm.shared import token_vendor as vendors
from streams.crm.shared.adapter import token_vendor
from streams.crm.shared.tokens import GrantRefused, Pair
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.errors import SettingsError
from streams.http.request import Reply, session
from streams.settings import OAuthSettings, PortalSettings
from tests.credentials.shared import FIRST_ACCESS, FIRST_REFRESH, oauth_portal

FAULTS: dict[str, tuple[type, type]] = {
    "500": (OutcomeUnknown, OutcomeUnknown),
    "503": (RetryLater, OutcomeUnknown),
    "429": (RetryLater, RetryLater),
    "payment_required": (PortalBlocked, PortalBlocked),
    "portal_deleted": (PortalBlocked, PortalBlocked),
    "insufficient_scope": (PortalBlocked, PortalBlocked),
    "access_denied": (PortalBlocked, PortalBlocked),
    "reset": (OutcomeUnknown, OutcomeUnknown),
    "lost_answer": (OutcomeUnknown, OutcomeUnknown),
    "half_answer": (OutcomeUnknown, OutcomeUnknown),
    "html": (OutcomeUnknown, OutcomeUnknown),
    "garbage200": (OutcomeUnknown, OutcomeUnknown),
    "empty200": (OutcomeUnknown, OutcomeUnknown),
    "moved": (PortalBlocked, PortalBlocked),
}


@pytest.fixture(params=["bitrix24", "kommo"])
async def portal(request: pytest.FixtureRequest) -> AsyncIterator[Portal]:
    fake = (
        Bitrix24Portal(Bitrix24Config(bucket_size=0))
        if request.param == "bitrix24"
        else KommoPortal(KommoConfig(requests_per_second=0))
    )
    async with fake:
        yield fake


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as open_session:
        yield open_session


def soon() -> float:
    return boot_seconds() + 5


async def test_a_refresh_token_is_good_for_one_new_pair(portal: Portal, http: aiohttp.ClientSession) -> None:
    vendor = token_vendor(oauth_portal(portal))
    pair = await vendor.refresh(http, FIRST_REFRESH, soon())
    assert isinstance(pair, Pair) and pair.access != FIRST_ACCESS and pair.refresh != FIRST_REFRESH
    lifetime = 3600 if isinstance(portal, Bitrix24Portal) else 86400
    assert pair.access_until - pair.received_at == lifetime * MICROS_PER_SECOND
    assert pair.endpoint == (f"{portal.url}/rest" if isinstance(portal, Bitrix24Portal) else "")
    assert isinstance(await vendor.refresh(http, FIRST_REFRESH, soon()), GrantRefused)


async def test_a_code_brings_the_first_pair_once(portal: Portal, http: aiohttp.ClientSession) -> None:
    vendor, code = token_vendor(oauth_portal(portal)), portal.authorise()
    assert isinstance(await vendor.redeem(http, code, soon()), Pair)
    assert isinstance(await vendor.redeem(http, code, soon()), GrantRefused)


@pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"client_secret": "wrong"}])
async def test_wrong_settings_spoil_no_token(
    portal: Portal, http: aiohttp.ClientSession, wrong: dict[str, Any]
) -> None:
    answer = await token_vendor(oauth_portal(portal, oauth=wrong)).refresh(http, FIRST_REFRESH, soon())
    assert isinstance(answer, PortalBlocked) and "portals[].oauth" in answer.why
    assert isinstance(await token_vendor(oauth_portal(portal)).refresh(http, FIRST_REFRESH, soon()), Pair)


@pytest.mark.parametrize("mode", FAULTS)
async def test_what_a_fault_proves(mode: str, portal: Portal, http: aiohttp.ClientSession) -> None:
    portal.faults.order({"mode": mode, "methods": ["token"]})
    answer = await token_vendor(oauth_portal(portal)).refresh(http, FIRST_REFRESH, soon())
    assert type(answer) is FAULTS[mode][isinstance(portal, KommoPortal)]
    assert FIRST_REFRESH not in repr(answer) and "fake-client-secret" not in repr(answer)


async def test_nobody_there_spoils_no_token(portal: Portal, http: aiohttp.ClientSession) -> None:
    vendor = token_vendor(oauth_portal(portal))
    await portal.go_away()
    assert isinstance(await vendor.refresh(http, FIRST_REFRESH, soon()), RetryLater)


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_wrong_address_pauses(status: int) -> None:
    portal = PortalSettings(name="main", crm="kommo", url="https://me.kommo.com", oauth=OAuthSettings(client_id="x"))
    answer = token_vendor(portal).answer_of(Reply(status, {}, None), 1)
    assert isinstance(answer, PortalBlocked) and "portals[].url" in answer.why


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_page_instead_of_kommos_answer_spoils_no_token(status: int) -> None:
    """A block answers with nginx's page at the token endpoint too; the token was not looked at."""
    portal = PortalSettings(name="main", crm="kommo", url="https://me.kommo.com", oauth=OAuthSettings(client_id="x"))
    answer = token_vendor(portal).answer_of(Reply(status, {}, None), 1)
    assert isinstance(answer, PortalBlocked) and answer.rarely is (status == 403)
    assert status != 403 or "write to the vendor's support" in answer.why


@pytest.mark.parametrize(
    ("portal", "server"),
    [
        ("https://me.bitrix24.ru", "oauth.bitrix24.tech"),
        ("https://me.bitrix24.com", "oauth.bitrix.info"),
        ("https://me.bitrix24.com.br", "oauth.bitrix.info"),
        ("https://me.bitrix24.kz", "oauth.bitrix.info"),
        ("https://crm.example.ru", "oauth.bitrix.info"),
    ],
)
def test_tokens_come_from_the_vendors_own_servers(portal: str, server: str) -> None:
    oauth = OAuthSettings(client_id="x")
    bitrix24 = PortalSettings(name="main", crm="bitrix24", url=portal, oauth=oauth)
    assert str(token_vendor(bitrix24).endpoint) == f"https://{server}/oauth/token/"
    kommo = PortalSettings(name="main", crm="kommo", url="https://me.kommo.com", oauth=oauth)
    assert str(token_vendor(kommo).endpoint) == "https://me.kommo.com/oauth2/access_token"
    for url in (None, "me.kommo.com", "http://me.kommo.com"):
        with pytest.raises(SettingsError):
            token_vendor(kommo.model_copy(update={"url": url}))


@pytest.mark.parametrize(
    ("named", "asked", "kept"),
    [
        ("https://oauth.bitrix24.tech/rest/", "", "oauth.bitrix24.tech"),
        ("https://oauth.bitrix.info/rest/", "oauth.bitrix24.tech", "oauth.bitrix.info"),
        ("https://oauth.evil.example/rest/", "oauth.bitrix24.tech", "oauth.bitrix24.tech"),
        ("https://oauth.bitrix24.tech.evil.example/rest/", "", "oauth.bitrix.info"),
        (None, "", "oauth.bitrix.info"),
    ],
)
def test_the_next_pair_is_asked_of_the_server_that_the_vendor_names_of_its_two(
    named: str | None, asked: str, kept: str
) -> None:
    oauth = OAuthSettings(client_id="x")
    vendor = token_vendor(PortalSettings(name="main", crm="bitrix24", url="https://me.bitrix24.com", oauth=oauth))
    document = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "server_endpoint": named}
    answer = vendor.answer_of(Reply(200, {}, document), 1, asked)
    assert isinstance(answer, Pair) and answer.server == kept
    assert str(vendor.endpoint_at(answer.server)) == f"https://{kept}/oauth/token/"
    assert vendor.endpoint_at("oauth.evil.example") == vendor.endpoint


def test_a_server_in_the_settings_goes_before_what_the_vendor_names() -> None:
    oauth = OAuthSettings(client_id="x", token_endpoint="https://proxy.example/oauth/token/")
    vendor = token_vendor(PortalSettings(name="main", crm="bitrix24", url="https://me.bitrix24.ru", oauth=oauth))
    assert str(vendor.endpoint_at("oauth.bitrix.info")) == "https://proxy.example/oauth/token/"


async def test_a_pair_of_an_earlier_release_is_renewed_where_it_was_issued(
    monkeypatch: pytest.MonkeyPatch, http: aiohttp.ClientSession
) -> None:
    asked: list[str] = []

    async def request(_: object, __: str, url: Any, **fields: Any) -> Reply:
        asked.append(url.host)
        return Reply(503, {}, None)

    monkeypatch.setattr(vendors, "request", request)
    oauth = OAuthSettings(client_id="x", client_secret=SecretStr("s"))
    vendor = token_vendor(PortalSettings(name="main", crm="bitrix24", url="https://me.bitrix24.ru", oauth=oauth))
    await vendor.refresh(http, "r", soon())
    await vendor.refresh(http, "r", soon(), "oauth.bitrix24.tech")
    await vendor.redeem(http, "c", soon())
    await vendor.redeem(http, "c", soon(), "oauth.bitrix.info")
    western, eastern = "oauth.bitrix.info", "oauth.bitrix24.tech"
    assert asked == [western, eastern, eastern, western]


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("document", [None, {"error": "brand_new", "error_description": "Go away"}])
def test_a_refusal_in_any_form_pauses_and_spoils_no_token(status: int, document: object) -> None:
    oauth = OAuthSettings(client_id="x")
    vendor = token_vendor(PortalSettings(name="main", crm="bitrix24", url="https://me.bitrix24.ru", oauth=oauth))
    answer = vendor.answer_of(Reply(status, {}, document), 1)
    assert isinstance(answer, PortalBlocked) and f"HTTP {status}" in answer.why
    assert document is None or "Go away" in answer.why


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("https://me.bitrix24.ru/rest/", "https://me.bitrix24.ru/rest"),
        ("https://renamed.bitrix24.ru/rest/", "https://renamed.bitrix24.ru/rest"),
        ("https://evil.example/rest/", ""),
        ("http://me.bitrix24.ru/rest/", ""),
        (None, ""),
    ],
)
def test_a_pair_from_the_vendor_goes_to_no_foreign_address(named: str | None, kept: str) -> None:
    portal = PortalSettings(
        name="main", crm="bitrix24", url="https://me.bitrix24.ru", oauth=OAuthSettings(client_id="x")
    )
    document = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "client_endpoint": named}
    answer = token_vendor(portal).answer_of(Reply(200, {}, document), 1)
    assert isinstance(answer, Pair) and answer.endpoint == kept


def test_a_crm_without_oauth_says_so() -> None:
    portal = PortalSettings(name="main", crm="webhook", url="https://me.example", oauth=OAuthSettings(client_id="x"))
    with pytest.raises(SettingsError, match=r"portals\.main\.oauth: Webhook has no OAuth"):
        token_vendor(portal)
