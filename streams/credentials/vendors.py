"""The vendors' token endpoints: a code, or a refresh token, for a pair; what each answer proves.

Facts: Bitrix24 settings/oauth (apidocs.bitrix24.com; errors also from b24pysdk: `wrong_client` comes with HTTP 200);
developers.kommo.com oauth-20, get-token, and amocrm-api-php issues 123, 235 (error bodies).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp
from yarl import URL

from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.credentials.record import Pair
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.errors import SettingsError
from streams.http.request import Ending, NoReply, NothingSent, TooLate, loopback, request, same_house
from streams.settings import OAuthSettings, PortalSettings, secret

BITRIX24_ENDPOINT = "https://oauth.bitrix.info/oauth/token/"
DAY = 24 * 3600 * MICROS_PER_SECOND
REFRESH_LIFETIME = {"bitrix24": 180 * DAY, "kommo": 90 * DAY}
"""Not in the vendors' answers. Bitrix24: 180 days; Kommo: 3 months."""

SETTINGS_AT_FAULT = "check portals[].oauth: client_id, client_secret, redirect_uri"

BITRIX24_PAUSING = {
    "WRONG_CLIENT": f"the authorisation server knows no such client_id: {SETTINGS_AT_FAULT}",
    "INVALID_CLIENT": f"the client_secret is wrong, or the application is not installed: {SETTINGS_AT_FAULT}",
    "INVALID_REQUEST": f"the authorisation server does not understand the request: {SETTINGS_AT_FAULT}",
    "INVALID_SCOPE": "the application lacks rights: give it the scope telephony",
    "INSUFFICIENT_SCOPE": "the application lacks rights: give it the scope telephony",
    "PAYMENT_REQUIRED": "the portal's licence has ended",
    "PORTAL_DELETED": "the portal was deleted",
    "ACCESS_DENIED": "the account may not use REST: it needs a commercial plan, or rights",
}
BITRIX24_REFUSING = ("INVALID_GRANT", "EXPIRED_TOKEN", "NOT_INSTALLED")


@dataclass(frozen=True, slots=True)
class GrantRefused:
    """The code or refresh token is used, expired or withdrawn; no other try will do."""

    code: ClassVar[str] = "grantrefused"
    why: str


TokenAnswer = Pair | GrantRefused | PortalBlocked | RetryLater | OutcomeUnknown
"""RetryLater and PortalBlocked: the request had no effect. OutcomeUnknown: the refresh token may be used up."""


def outcome_label(answer: TokenAnswer) -> str:
    """The value of the label `outcome` of cel2crm_token_refreshes."""
    return "renewed" if isinstance(answer, Pair) else answer.code


@dataclass(frozen=True, slots=True)
class TokenVendor:
    """One portal's token endpoint."""

    portal: PortalSettings
    oauth: OAuthSettings
    url: URL
    """The portal's address."""
    endpoint: URL

    @classmethod
    def of(cls, portal: PortalSettings) -> "TokenVendor":
        """Raises SettingsError."""
        where = f"portals.{portal.name}"
        if portal.oauth is None:
            raise SettingsError(f"{where}.oauth is not set")
        url = web_address(portal.url, f"{where}.url")
        text = portal.oauth.token_endpoint
        if text is None and portal.crm == "bitrix24":
            text = BITRIX24_ENDPOINT
        endpoint = (
            url / "oauth2" / "access_token" if text is None else web_address(text, f"{where}.oauth.token_endpoint")
        )
        if endpoint.scheme != "https" and not loopback(endpoint.host or ""):
            raise SettingsError(
                f"{where}: tokens would be asked for without encryption at {endpoint.host}",
                "The address must begin with https://.",
            )
        return cls(portal, portal.oauth, url, endpoint)

    async def redeem(self, http: aiohttp.ClientSession, code: str, until: float) -> TokenAnswer:
        """The first pair, for the code that an administrator was given: good once, and not for long."""
        return await self._ask(http, {"grant_type": "authorization_code", "code": code}, until)

    async def refresh(self, http: aiohttp.ClientSession, refresh: str, until: float) -> TokenAnswer:
        """The next pair, for a refresh token, which is used up by it."""
        return await self._ask(http, {"grant_type": "refresh_token", "refresh_token": refresh}, until)

    async def _ask(self, http: aiohttp.ClientSession, grant: Mapping[str, str], until: float) -> TokenAnswer:
        where = f"portals.{self.portal.name}.oauth.client_secret"
        try:
            client_secret = secret(self.oauth.client_secret, self.oauth.client_secret_file, where)
        except SettingsError as error:
            return PortalBlocked(error.problem)
        fields = {"client_id": self.oauth.client_id, "client_secret": client_secret, **grant}
        if self.oauth.redirect_uri:
            fields["redirect_uri"] = self.oauth.redirect_uri
        # Never in the address: it stands in logs on the way.
        if self.portal.crm == "bitrix24":
            ending = await request(http, "POST", self.endpoint, until=until, form=fields)
        else:
            ending = await request(http, "POST", self.endpoint, until=until, json=fields)
        return self.answer_of(ending, utc_now_us())

    def answer_of(self, ending: Ending, now: int) -> TokenAnswer:
        """What the end of a token request proves. Pure."""
        match ending:
            case TooLate():
                return RetryLater("the token request's time was over before it went out")
            case NothingSent():
                return PortalBlocked(ending.why) if ending.hopeless else RetryLater(ending.why)
            case NoReply():
                return OutcomeUnknown(ending.why)
        document: dict[str, Any] = ending.document if isinstance(ending.document, dict) else {}
        if isinstance(document.get("access_token"), str) and isinstance(document.get("refresh_token"), str):
            return self._pair(document, now)
        if 300 <= ending.status < 400:
            return PortalBlocked(f"the token endpoint at {self.endpoint.host} leads elsewhere, where no token goes")
        if ending.status == 429:
            return RetryLater("too many token requests", ending.retry_after(now))
        trouble = _bitrix24(document) if self.portal.crm == "bitrix24" else _kommo(ending.status, document)
        if trouble is not None:
            return trouble
        if ending.status in (404, 405, 410):
            return PortalBlocked(f"{self.endpoint.host} issues no tokens (HTTP {ending.status}): check portals[].url")
        return OutcomeUnknown(f"HTTP {ending.status} instead of tokens")

    def _pair(self, document: Mapping[str, Any], now: int) -> Pair:
        lifetime = str(document.get("expires_in"))
        seconds = int(lifetime) if lifetime.isdigit() else 3600
        return Pair(
            access=document["access_token"],
            refresh=document["refresh_token"],
            received_at=now,
            access_until=now + seconds * MICROS_PER_SECOND,
            refresh_until=now + REFRESH_LIFETIME[self.portal.crm],
            endpoint=self._own(document.get("client_endpoint")),
        )

    def _own(self, endpoint: object) -> str:
        """The REST address, if a token for this portal may go there."""
        try:
            url = URL(endpoint) if isinstance(endpoint, str) else URL()
        except ValueError:
            return ""
        return str(url).rstrip("/") if same_house(self.url, url) else ""


def web_address(text: str | None, where: str) -> URL:
    """An address of the settings. Raises SettingsError, which does not show the value: it may hold a secret."""
    try:
        url = URL((text or "").rstrip())
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(
            f"{where} is not set" if not text else f"{where} is no web address", "Set it to https://and-so-on."
        )
    return url


def _bitrix24(document: Mapping[str, Any]) -> GrantRefused | PortalBlocked | RetryLater | None:
    code = str(document.get("error") or "").upper()
    words = _said(document, "error", "error_description")
    if code in BITRIX24_REFUSING:
        return GrantRefused(words)
    if code in BITRIX24_PAUSING:
        return PortalBlocked(f"{BITRIX24_PAUSING[code]} ({words})")
    return RetryLater("too many token requests") if code == "QUERY_LIMIT_EXCEEDED" else None


def _kommo(status: int, document: Mapping[str, Any]) -> GrantRefused | PortalBlocked | None:
    """401 without a hint: the client; with one: the token or code (league/oauth2-server, which Kommo runs)."""
    if "title" not in document or not 400 <= status < 500:
        return None
    words = _said(document, "title", "detail", "hint")
    hint = str(document.get("hint") or "").lower()
    if status in (400, 401) and ("token" in hint or "code" in hint):
        return GrantRefused(words)
    if status == 402:
        return PortalBlocked(f"the account is not paid ({words})")
    if status == 403:
        return PortalBlocked(f"access denied: the integration is disabled, or this address is blocked ({words})")
    if status == 404:
        return PortalBlocked(f"the account or the integration is not known: check portals[].url ({words})")
    return PortalBlocked(f"the account knows no such integration: {SETTINGS_AT_FAULT} ({words})")


def _said(document: Mapping[str, Any], *names: str) -> str:
    return ": ".join(str(document[name]) for name in names if document.get(name))[:300]
