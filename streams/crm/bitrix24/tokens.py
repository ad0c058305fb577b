"""Bitrix24: tokens of an application.

Facts: settings/oauth (apidocs.bitrix24.com); errors also from b24pysdk: `wrong_client` comes with HTTP 200. There are
two authorisation servers (b24phpsdk, DefaultOAuthServerUrl): the redirect with the code names the portal's as
`server_domain`, and each pair as `server_endpoint`.
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from streams.clock import BootSeconds
from streams.crm.bitrix24.check import check
from streams.crm.shared.check import CheckRequest, Level
from streams.crm.shared.client import unpaced
from streams.crm.shared.token_vendor import SETTINGS_AT_FAULT, TokenVendor, joined
from streams.crm.shared.tokens import GrantRefused, Pair, Token
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.errors import UserError
from streams.http.request import request

WESTERN, EASTERN = "oauth.bitrix.info", "oauth.bitrix24.tech"
EASTERN_DOMAIN = ".bitrix24.ru"
"""Portals of other domains may be of the eastern zone too: of them the redirect tells it."""
SCOPE = "telephony"
REDIRECT = "https://localhost/"

PAUSING = {
    "WRONG_CLIENT": f"the authorisation server knows no such client_id: {SETTINGS_AT_FAULT}",
    "INVALID_CLIENT": f"the client_secret is wrong, or the application is not installed: {SETTINGS_AT_FAULT}",
    "INVALID_REQUEST": f"the authorisation server does not understand the request: {SETTINGS_AT_FAULT}",
    "INVALID_SCOPE": "the application lacks rights: give it the scope telephony",
    "INSUFFICIENT_SCOPE": "the application lacks rights: give it the scope telephony",
    "PAYMENT_REQUIRED": "the portal's licence has ended",
    "PORTAL_DELETED": "the portal was deleted",
    "ACCESS_DENIED": "the account may not use REST: it needs a commercial plan, or rights",
}
DELIVERIES_NEED = ("authorisation", "telephony", "rights")
"""Findings of the check (about) that are refused before tokens are stored; users can be named later."""
REFUSING = ("INVALID_GRANT", "EXPIRED_TOKEN", "NOT_INSTALLED")


class Bitrix24Tokens(TokenVendor):
    """Tokens of one portal's application, from the vendor's server for all portals."""

    refresh_days = 180
    form = True
    servers = (WESTERN, EASTERN)

    def _endpoint(self) -> URL:
        eastern = (self.url.host or "").rstrip(".").endswith(EASTERN_DOMAIN)
        return URL.build(scheme="https", host=EASTERN if eastern else WESTERN, path="/oauth/token/")

    def _refusal(self, status: int, document: Mapping[str, Any]) -> GrantRefused | PortalBlocked | RetryLater | None:
        code = str(document.get("error") or "").upper()
        words = joined(document, "error", "error_description")
        if code in REFUSING:
            return GrantRefused(words)
        if code in PAUSING:
            return PortalBlocked(f"{PAUSING[code]} ({words})")
        return RetryLater("too many token requests") if code == "QUERY_LIMIT_EXCEEDED" else None

    def instructions(self, state: str) -> list[str]:
        """See TokenVendor."""
        asked = {"client_id": self.oauth.client_id, "state": state}
        address = self.url.with_path("/oauth/authorize/").with_query(asked)
        return [
            "Once, as an administrator of the portal: Developer resources, Other, Local application, with",
            f"  the scope {SCOPE}, `Uses only API`, and the handler address {self.oauth.redirect_uri or REDIRECT}",
            "  (nothing has to listen there). Its code and key are portals[].oauth.client_id and client_secret.",
            "Now open this address in a browser, as a person who may see the calls of all (Telephony, Access",
            "  permissions, `Call statistics: view: all`): the application will see what this person may see.",
            "",
            f"  {address}",
            "",
            "The browser ends at the handler address, perhaps with an error page. Copy the whole address from its",
            "address bar within 30 seconds: it holds the code.",
        ]

    async def check(self, http: aiohttp.ClientSession, pair: Pair, until: BootSeconds) -> str:
        """See TokenVendor: the scopes, whether calls may be registered, whether the statistics show those of all."""
        base = URL(pair.endpoint) if pair.endpoint else self.url / "rest"
        auth = {"auth": pair.access}
        ending = await request(http, "POST", base / "scope.json", until=until, json=auth)
        granted = self.good(ending).get("result")
        if not isinstance(granted, list) or SCOPE not in granted:
            raise UserError(
                f"the application of portal {self.portal.name} lacks the scope {SCOPE}",
                "Add it to the application in the portal, then authorise again.",
            )
        found = await check(CheckRequest(self.portal, _OnePair(pair), unpaced, until))
        for finding in found:
            if finding.level is Level.AWAY or (finding.level is Level.FAULT and finding.about in DELIVERIES_NEED):
                remedy = f"Nothing was stored. {finding.remedy}".rstrip()
                raise UserError(f"portal {self.portal.name}: {finding.words}", remedy)
        remarks = (f"\n  {each.words}. {each.remedy}" for each in found if each.level is not Level.GOOD)
        return f"portal {base.host}, scopes {', '.join(map(str, granted))}{''.join(remarks)}"


class _OnePair:
    """A pair that is not stored yet (a TokenSource)."""

    def __init__(self, pair: Pair) -> None:
        self._token = Token(pair.access, pair.endpoint)

    async def token(self, until: BootSeconds) -> Token:
        """See TokenSource."""
        return self._token

    async def after(self, rejected: Token, until: BootSeconds) -> None:
        """See TokenSource: there is no other one."""
