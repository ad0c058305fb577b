"""The clients of one CRM's portals."""

from collections.abc import Sequence

from streams.crm.shared.adapter import make_client
from streams.crm.shared.client import CrmClient
from streams.errors import UserError
from streams.rules import Rules
from streams.settings import PortalSettings
from streams.workers.deliver.tokens import PortalTokens


async def make_clients(portals: Sequence[PortalSettings], rules: Rules, tokens: PortalTokens) -> dict[str, CrmClient]:
    """A client for each portal, by the portal's name. Raises UserError; then none is left open, nor the tokens."""
    clients: dict[str, CrmClient] = {}
    try:
        for portal in portals:
            clients[portal.name] = make_client(portal, rules, tokens.source(portal))
    except UserError:
        for client in clients.values():
            await client.close()
        await tokens.stop()
        raise
    return clients
