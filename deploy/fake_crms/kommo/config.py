"""Settings of the fake Kommo."""

from __future__ import annotations

import dataclasses

from deploy.fake_crms.portal import PortalConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KommoConfig(PortalConfig):
    """Settings of the fake Kommo.

    More than `requests_per_second` (0: no limit) are answered 429, and after `flood` such answers within 10 s all 403
    for `ban` seconds. Ours, not the vendor's: the number of answers that makes a flood, and a ban that ends by itself
    (a real one may stay until the vendor's support lifts it; amocrm-api-php issue 563).

    `known_clients`: every number has a contact, as if it had been there before. `customers`: the account has customers
    switched on; `unsorted_on`: its pipeline takes incoming leads. What no document settles comes in both ways:
    `note_updated_at`, `now` or `created` (a note's updated_at is the time of the request, or the created_at that was
    sent), `owner_is_admin` False (the token's user is no administrator: may not list users), `others_as_maker`,
    `administrators` (only a token of theirs may name another user as created_by or call_responsible), `everybody`,
    `nobody`, or `replaced` (it is taken, and the token's user stands there), and `card_shows`, `client` or `line`
    (whose number the call of an accepted incoming lead shows; amocrm-api-php issue 441). `task_rights` False: the
    token's user may not see tasks.
    """

    long_lived_token: str = "fake-long-lived-token"
    client_id: str = "fake-integration-id"
    client_secret: str = "fake-client-secret"
    access_token: str = "fake-access-token"
    refresh_token: str = "fake-refresh-token"
    access_lifetime: float = 86400.0
    refresh_lifetime: float = 90 * 86400.0
    code_lifetime: float = 1200.0
    known_clients: bool = False
    customers: bool = False
    note_updated_at: str = "now"
    owner_is_admin: bool = True
    others_as_maker: str = "administrators"
    card_shows: str = "client"
    unsorted_on: bool = True
    task_rights: bool = True
    requests_per_second: int = 7
    flood: int = 50
    ban: float = 60.0
