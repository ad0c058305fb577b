"""Kommo: tokens of an integration.

Facts: developers.kommo.com oauth-20, get-token; amocrm-api-php issues 123, 235 (error bodies).
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from streams.clock import BootSeconds
from streams.crm.kommo.answers import BLOCKED, PAUSING
from streams.crm.shared.token_vendor import SETTINGS_AT_FAULT, TokenVendor, joined
from streams.crm.shared.tokens import GrantRefused, Pair
from streams.delivery.answers import PortalBlocked
from streams.http.request import request


class KommoTokens(TokenVendor):
    """Tokens of one account's private integration, from the account itself."""

    refresh_days = 90  # three months
    redirect_uri_needed = True

    def _endpoint(self) -> URL:
        return self.url / "oauth2" / "access_token"

    def _refusal(self, status: int, document: Mapping[str, Any]) -> GrantRefused | PortalBlocked | None:
        """401 without a hint: the client; with one: the token or code (league/oauth2-server, which Kommo runs)."""
        if status == 403 and "title" not in document:
            # A block is nginx's page, here too (amocrm-api-php issue 434): the token was not looked at.
            return PortalBlocked(f"{BLOCKED} (HTTP 403)", rarely=True)
        if status in (401, 402) and "title" not in document:
            return PortalBlocked(f"{PAUSING[status]} (HTTP {status})")
        if "title" not in document or not 400 <= status < 500:
            return None
        words = joined(document, "title", "detail", "hint")
        hint = str(document.get("hint") or "").lower()
        if status in (400, 401) and ("token" in hint or "code" in hint):
            return GrantRefused(words)
        if status == 402:
            return PortalBlocked(f"the account is not paid ({words})")
        if status == 403:
            return PortalBlocked(f"{PAUSING[status]} ({words})", rarely=True)
        if status == 404:
            return PortalBlocked(f"the account or the integration is not known: check portals[].url ({words})")
        return PortalBlocked(f"the account knows no such integration: {SETTINGS_AT_FAULT} ({words})")

    def instructions(self, state: str) -> list[str]:
        """See TokenVendor."""
        redirect = self.oauth.redirect_uri
        return [
            f"As an administrator of {self.url.host}: Settings, Integrations, your private integration",
            "  (if there is none: Create integration, with access to the account's data, and any redirect address),",
            "  tab Keys and scopes. Its integration ID, secret key and redirect address are portals[].oauth.client_id,",
            f"  client_secret and redirect_uri{f' ({redirect})' if redirect else ''}.",
            "Copy the authorization code: it is good for 20 minutes, once.",
        ]

    async def check(self, http: aiohttp.ClientSession, pair: Pair, until: BootSeconds) -> str:
        """See TokenVendor: the account's name."""
        headers = {"Authorization": f"Bearer {pair.access}"}
        ending = await request(http, "GET", self.url / "api" / "v4" / "account", until=until, headers=headers)
        document = self.good(ending)
        return f"account {document.get('name') or document.get('subdomain') or self.url.host}"
