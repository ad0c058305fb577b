"""Bitrix24's authorisation server: how an integration gets its tokens.

Source: the error bodies as the official SDK (b24pysdk, errors.oauth) documents them.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.exchange import Answer, Inbound
from deploy.fake_crms.tokens import TokenPair, TokenStore

SERVERS = ("oauth.bitrix.info", "oauth.bitrix24.tech")
"""The vendor's two authorisation servers, the second for its eastern zone."""


def answer_token_request(
    inbound: Inbound, config: Bitrix24Config, tokens: TokenStore, now: float, rest_url: str
) -> Answer:
    """Issue tokens by GET or POST, for the grant types refresh_token and authorization_code.

    `now` is in unix seconds, `rest_url` the address of the REST interface with a slash at the end.
    """
    fields = {
        name: values[-1]
        for name, values in parse_qs(inbound.query + "&" + inbound.body.decode(errors="replace")).items()
    }
    if fields.get("client_id") != config.client_id or _of_the_other_server(inbound, config):
        return Answer(200, {"error": "wrong_client"})
    if fields.get("client_secret") != config.client_secret:
        return Answer(400, {"error": "invalid_client"})
    lifetimes = (config.access_lifetime, config.refresh_lifetime)
    match fields.get("grant_type"):
        case "refresh_token":
            # "After the request both the refresh token and the access token issued with it become invalid."
            pair = tokens.rotate(fields.get("refresh_token", ""), now, *lifetimes, ends_access=True)
        case "authorization_code":
            pair = tokens.redeem(fields.get("code", ""), now, *lifetimes)
        case _:
            return Answer(400, {"error": "invalid_request", "error_description": "Unsupported grant_type"})
    if pair is None:
        return Answer(400, {"error": "invalid_grant"})
    return Answer(200, _issued(pair, now, rest_url, config.authorisation_server))


def _of_the_other_server(inbound: Inbound, config: Bitrix24Config) -> bool:
    """Whether the request went to the one of the vendor's two servers that does not serve this portal. Ours, not the
    vendor's: that it does not know the portal's application. No document says it."""
    host = inbound.headers.get("host", "").partition(":")[0]
    return host in SERVERS and host != config.authorisation_server and not config.other_server_knows


def _issued(pair: TokenPair, now: float, rest_url: str, server: str) -> dict[str, object]:
    """Issued tokens; `server`: the host of the authorisation server. Two are known: oauth.bitrix.info, and
    oauth.bitrix24.tech for the vendor's eastern zone."""
    return {
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "expires_in": pair.expires_in,
        "expires": int(now) + pair.expires_in,
        "scope": "app",
        "status": "L",
        "member_id": "fake",
        "user_id": 1,
        "domain": server,
        "client_endpoint": rest_url,
        "server_endpoint": f"https://{server}/rest/",
    }
