"""A vendor's token endpoint: a code, or a refresh token, for a pair; what each answer proves.

Each CRM with OAuth has a subclass in its folder; what is said here holds at all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import aiohttp
from yarl import URL

from streams.clock import MICROS_PER_SECOND, BootSeconds, utc_now_us
from streams.crm.shared.tokens import GrantRefused, Pair, TokenAnswer
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.errors import SettingsError, UserError
from streams.http.request import Ending, NoReply, NothingSent, Reply, TooLate, request
from streams.http.web_address import as_url, loopback, same_cloud, web_address
from streams.settings import PortalSettings, secret

SETTINGS_AT_FAULT = "check portals[].oauth: client_id, client_secret, redirect_uri"


class TokenVendor(ABC):
    """One portal's token endpoint."""

    refresh_days: ClassVar[int]
    """How long a refresh token is good; vendors' answers do not say it."""
    form: ClassVar[bool] = False
    """A token request is a form; otherwise JSON."""
    redirect_uri_needed: ClassVar[bool] = False
    """Every token request must bring oauth.redirect_uri."""
    servers: ClassVar[tuple[str, ...]] = ()
    """Hosts of the authorisation servers that the vendor runs beside the portals; a token goes to no other. The first
    one issued the pairs that name none (those of 0.1)."""

    def __init__(self, portal: PortalSettings) -> None:
        """Raises SettingsError."""
        where = f"portals.{portal.name}"
        if portal.oauth is None:
            raise SettingsError(f"{where}.oauth is not set")
        self.portal = portal
        self.oauth = portal.oauth
        self.url = web_address(portal.url, f"{where}.url")
        """The portal's address."""
        text = portal.oauth.token_endpoint
        self.endpoint = self._endpoint() if text is None else web_address(text, f"{where}.oauth.token_endpoint")
        if self.endpoint.scheme != "https" and not loopback(self.endpoint.host or ""):
            raise SettingsError(
                f"{where}: tokens would be asked for without encryption at {self.endpoint.host}",
                "The address must begin with https://.",
            )

    @abstractmethod
    def _endpoint(self) -> URL:
        """Where the vendor issues tokens, if the settings do not say."""

    def endpoint_at(self, server: str) -> URL:
        """Where the vendor issues tokens, if it named this server; that of the settings goes before."""
        if self.oauth.token_endpoint is not None or server not in self.servers:
            return self.endpoint
        return self.endpoint.with_host(server)

    @abstractmethod
    def _refusal(self, status: int, document: Mapping[str, Any]) -> GrantRefused | PortalBlocked | RetryLater | None:
        """The answer that the vendor's error proves; None: it is not one of the vendor's own errors."""

    @abstractmethod
    def instructions(self, state: str) -> list[str]:
        """Instructions for a person who is to get a code, in lines.

        `state`: to be found again in the address that holds the code.
        """

    @abstractmethod
    async def check(self, http: aiohttp.ClientSession, pair: Pair, until: BootSeconds) -> str:
        """Ask what harms nothing, as the deliveries will ask; who answered, in words. Raises UserError."""

    async def redeem(self, http: aiohttp.ClientSession, code: str, until: BootSeconds, server: str = "") -> TokenAnswer:
        """The first pair, for the code that an administrator was given: good once, and not for long. `server`: the one
        that the vendor named with the code."""
        return await self._ask(http, {"grant_type": "authorization_code", "code": code}, until, server)

    async def refresh(
        self, http: aiohttp.ClientSession, refresh: str, until: BootSeconds, server: str = ""
    ) -> TokenAnswer:
        """The next pair, for a refresh token, which is used up by it. `server`: Pair.server of its pair."""
        server = server or next(iter(self.servers), "")
        return await self._ask(http, {"grant_type": "refresh_token", "refresh_token": refresh}, until, server)

    async def _ask(
        self, http: aiohttp.ClientSession, grant: Mapping[str, str], until: BootSeconds, server: str
    ) -> TokenAnswer:
        endpoint = self.endpoint_at(server)
        where = f"portals.{self.portal.name}.oauth.client_secret"
        try:
            client_secret = secret(self.oauth.client_secret, self.oauth.client_secret_file, where)
        except SettingsError as error:
            return PortalBlocked(error.problem)
        fields = {"client_id": self.oauth.client_id, "client_secret": client_secret, **grant}
        if self.oauth.redirect_uri:
            fields["redirect_uri"] = self.oauth.redirect_uri
        # Never in the address: it stands in logs on the way.
        if self.form:
            ending = await request(http, "POST", endpoint, until=until, form=fields)
        else:
            ending = await request(http, "POST", endpoint, until=until, json=fields)
        return self.answer_of(ending, utc_now_us(), server)

    def answer_of(self, ending: Ending, now: int, server: str = "") -> TokenAnswer:
        """The answer that the end of a token request proves. Pure."""
        host = self.endpoint_at(server).host
        match ending:
            case TooLate():
                return RetryLater("the token request's time was over before it went out")
            case NothingSent():
                return PortalBlocked(ending.why) if ending.needs_a_person else RetryLater(ending.why)
            case NoReply():
                return OutcomeUnknown(ending.why)
        document: dict[str, Any] = ending.document if isinstance(ending.document, dict) else {}
        if isinstance(document.get("access_token"), str) and isinstance(document.get("refresh_token"), str):
            return self._pair(document, now, host or "")
        if 300 <= ending.status < 400:
            return PortalBlocked(f"the token endpoint at {host} leads elsewhere, where no token goes")
        if ending.status == 429:
            return RetryLater("too many token requests", ending.retry_after(now))
        refusal = self._refusal(ending.status, document)
        if refusal is not None:
            return refusal
        if ending.status in (404, 405, 410):
            return PortalBlocked(f"{host} issues no tokens (HTTP {ending.status}): check portals[].url")
        if ending.status in (401, 402, 403):
            words = joined(document, "error", "error_description", "title", "detail", "hint")
            said = f"HTTP {ending.status}: {words or 'without words of its own'}"
            return PortalBlocked(
                f"{host} refuses to issue tokens ({said}): {SETTINGS_AT_FAULT}, and whether the vendor blocks this "
                "machine's address"
            )
        return OutcomeUnknown(f"HTTP {ending.status} instead of tokens")

    def _pair(self, document: Mapping[str, Any], now: int, asked: str) -> Pair:
        """The pair in an answer; `asked`: the host that gave it."""
        lifetime = str(document.get("expires_in"))
        seconds = int(lifetime) if lifetime.isdigit() else 3600
        return Pair(
            access=document["access_token"],
            refresh=document["refresh_token"],
            received_at=now,
            access_until=now + seconds * MICROS_PER_SECOND,
            refresh_until=now + self.refresh_days * 24 * 3600 * MICROS_PER_SECOND,
            endpoint=self._own(document.get("client_endpoint")),
            server=self.known_server(as_url(document.get("server_endpoint")).host) or self.known_server(asked),
        )

    def known_server(self, host: str | None) -> str:
        """The host, if it is one of the vendor's authorisation servers; else empty."""
        return host if host in self.servers else ""

    def _own(self, endpoint: object) -> str:
        """The REST address, if a token for this portal may go there."""
        url = as_url(endpoint)
        return str(url).rstrip("/") if same_cloud(self.url, url, self.portal.kind.cloud) else ""

    def good(self, ending: Ending) -> dict[str, Any]:
        """The document of an answer to a check. Raises UserError where it is not one of success."""
        name = self.portal.name
        if not isinstance(ending, Reply):
            why = "not asked in time" if isinstance(ending, TooLate) else ending.why
            raise UserError(f"portal {name} cannot be asked: {why}", "Nothing was stored: authorise again.")
        document = ending.document if isinstance(ending.document, dict) else {}
        if ending.status != 200:
            words = joined(document, "error", "error_description", "title", "detail")
            raise UserError(
                f"portal {name} does not take the new token: HTTP {ending.status} {words}".rstrip(),
                "Nothing was stored. Check portals[].url, the application's rights and those of the person who "
                "authorises.",
            )
        return document


def joined(document: Mapping[str, Any], *names: str) -> str:
    """The named fields of an error, those that are there, as one remark."""
    return ": ".join(str(document[name]) for name in names if document.get(name))[:300]
