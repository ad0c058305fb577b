"""Settings of the fake Bitrix24."""

from __future__ import annotations

import dataclasses

from deploy.fake_crms.portal import PortalConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bitrix24Config(PortalConfig):
    """Settings of the fake Bitrix24.

    `bucket_size` requests, draining `drain_per_second` (0 requests: no limit); `operating_cost` seconds of work a
    request, or a command of a batch, counts for, refused above `operating_limit` within ten minutes; `time_in_429`
    gives that refusal the `time` that it need not have. `webhook_allowed` False refuses the methods of telephony by
    webhook, as documented since March 2026. `blank_errors` leaves `error` empty, as seen on live portals.

    `statistics_of`: `all`, `own` (calls of others are left out without a word, as the product's source has it), `none`
    (refused); `owner_is_admin`: what `profile` tells of him. `knows_external_id` False: the filter EXTERNAL_CALL_ID is
    ignored, as by older on-premise editions.
    `authorisation_server`: the host that answers of the token endpoint name, one of the vendor's two;
    `other_server_knows`: a token request to the other one finds the application too.
    What no document settles comes in both ways: `window_from`, `call_start` or `registration` (from when the 30
    minutes count in which a repeated register is the same call), and `unknown_inner`, `not_set` (an inner number that
    nobody has leaves the user unset), `not_found` (it is answered like a user who left) or `owner` (the call is given
    to the owner).
    `recording_status`: what the addresses of recordings answer to the portal, which fetches them;
    `private_recordings` False refuses those that are not public, as the vendor does. Lifetimes in seconds.
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
    authorisation_server: str = "oauth.bitrix.info"
    other_server_knows: bool = False
    window_from: str = "call_start"
    unknown_inner: str = "not_set"
    webhook_allowed: bool = False
    statistics_of: str = "all"
    owner_is_admin: bool = True
    knows_external_id: bool = True
    blank_errors: bool = False
    lead_creation_error: str = ""
    recording_status: int = 200
    private_recordings: bool = True
    bucket_size: int = 50
    drain_per_second: float = 2.0
    operating_cost: float = 0.0
    operating_limit: float = 480.0
    time_in_429: bool = False
