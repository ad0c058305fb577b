"""Settings of the fake Bitrix24."""

from __future__ import annotations

import dataclasses

from deploy.fake_crms.portal import PortalConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bitrix24Config(PortalConfig):
    """Settings of the fake Bitrix24.

    `bucket_size` requests, draining `drain_per_second` (0 requests: no limit); `operating_cost` seconds of work a
    request counts for, refused above `operating_limit` within ten minutes. `webhook_allowed` False refuses register
    and finish by webhook, as most installations do. `blank_errors` leaves `error` empty, as seen on live portals.
    Lifetimes in seconds. `recording_status`: what the addresses of recordings answer to the portal, which fetches them;
    `private_recordings` False refuses those that are not public, as the vendor does.
    """

    webhook_user: int = 1
    webhook_secret: str = "d3m0w3bh00k"
    client_id: str = "local.5f0e.cel2crm"
    client_secret: str = "fake-client-secret"
    access_token: str = "fake-access-token"
    refresh_token: str = "fake-refresh-token"
    access_lifetime: float = 3600.0
    refresh_lifetime: float = 180 * 86400.0
    code_lifetime: float = 30.0
    scopes: tuple[str, ...] = ("telephony", "user", "crm")
    webhook_allowed: bool = True
    blank_errors: bool = False
    lead_creation_error: str = ""
    recording_status: int = 200
    private_recordings: bool = True
    bucket_size: int = 50
    drain_per_second: float = 2.0
    operating_cost: float = 0.0
    operating_limit: float = 480.0
