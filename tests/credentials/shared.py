"""A store in memory that several keepers share, and pairs."""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Portal, Portal
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.credentials.record import Credential
from streams.credentials.store import Decide
from streams.crm.shared.tokens import Pair
from streams.settings import OAuthSettings, PortalSettings

FIRST_ACCESS, FIRST_REFRESH = "fake-access-token", "fake-refresh-token"


def pair(number: int = 0, *, left: float = 3600.0, access: str = "", refresh: str = "") -> Pair:
    """Number 0 is the one that a fake portal knows from the start; `left`: seconds of the access token."""
    now = utc_now_us()
    known = (FIRST_ACCESS, FIRST_REFRESH) if number == 0 else (f"access-{number}", f"refresh-{number}")
    lifetime = 3600 * MICROS_PER_SECOND
    end = now + int(left * MICROS_PER_SECOND)
    return Pair(access or known[0], refresh or known[1], end - lifetime, end, now + 180 * 24 * 3600 * MICROS_PER_SECOND)


def oauth_portal(portal: Portal, **fields: Any) -> PortalSettings:
    """Settings of a fake portal that is let in by OAuth."""
    bitrix24 = isinstance(portal, Bitrix24Portal)
    oauth = {
        "client_id": "local.5f0e.cel2crm" if bitrix24 else "fake-integration-id",
        "client_secret": SecretStr("fake-client-secret"),
        "redirect_uri": "https://localhost",
        "token_endpoint": f"{portal.url}/oauth/token/" if bitrix24 else None,
        **fields.pop("oauth", {}),
    }
    crm = "bitrix24" if bitrix24 else "kommo"
    fields = {"name": "main", "crm": crm, "url": portal.url, "default_user": "1", **fields}
    return PortalSettings(oauth=OAuthSettings(**oauth), **fields)


class SharedStore:
    """As the store on Kafka: what one changes, all see a little later; it can be away."""

    def __init__(self, *credentials: Credential) -> None:
        self.stored = {credential.portal: credential for credential in credentials}
        self.listeners: list[Callable[[], object]] = []
        self.history: list[Credential] = []
        self.away_for = 0
        """Changes that fail before the next that does not."""

    def get(self, key: str) -> Credential | None:
        """See CredentialStore."""
        return self.stored.get(key)

    async def change(self, key: str, decide: Decide) -> Credential | None:
        """See CredentialStore."""
        await asyncio.sleep(0)
        if self.away_for:
            self.away_for -= 1
            raise TimeoutError
        before = self.stored.get(key)
        after = decide(before)
        if after is None:
            return before
        self.stored[key] = after
        self.history.append(after)
        for listener in self.listeners:
            listener()
        return after
