"""A portal's tokens for a command that asks the portal: renewed where that is needed, as the workers do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.credentials.keeper import Keeper
from streams.credentials.store import CredentialStore
from streams.crm.shared.adapter import token_vendor
from streams.crm.shared.tokens import TokenSource
from streams.http.request import session
from streams.settings import PortalSettings, secret


@asynccontextmanager
async def kept_tokens(portal: PortalSettings, store: CredentialStore) -> AsyncIterator[TokenSource]:
    """The portal's tokens, renewed where that is needed."""
    vendor = token_vendor(portal)
    oauth = vendor.oauth
    secret(oauth.client_secret, oauth.client_secret_file, f"portals.{portal.name}.oauth.client_secret")
    async with session() as http:
        keeper = Keeper(portal, store, vendor, http, request_seconds=oauth.request_timeout_seconds)
        try:
            yield keeper
        finally:
            await keeper.stop()
