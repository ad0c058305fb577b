"""Settings of the fake Kommo."""

from __future__ import annotations

import dataclasses

from deploy.fake_crms.portal import PortalConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KommoConfig(PortalConfig):
    """Settings of the fake Kommo.

    `strict_contacts` True refuses calls of phones that no contact has (error 263), else the contact is made
    silently. More than `requests_per_second` (0: no limit) are answered 429, and after `flood` such answers within
    10 s all 403 for `ban` seconds.
    """

    long_lived_token: str = "fake-long-lived-token"
    client_id: str = "fake-integration-id"
    client_secret: str = "fake-client-secret"
    access_token: str = "fake-access-token"
    refresh_token: str = "fake-refresh-token"
    access_lifetime: float = 86400.0
    refresh_lifetime: float = 90 * 86400.0
    code_lifetime: float = 1200.0
    strict_contacts: bool = False
    requests_per_second: int = 7
    flood: int = 50
    ban: float = 60.0
