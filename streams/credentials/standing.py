"""How a portal is let in, and how long that lasts, without showing a secret. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from streams.credentials.keeper import command, unreadable
from streams.credentials.record import Credential
from streams.settings import PortalSettings


class Tokens(StrEnum):
    """Where a portal's tokens stand."""

    FIXED = "fixed"
    """A webhook or a long-lived token of the settings."""
    GOOD = "good"
    EXPIRED = "expired"
    """The access token is over; the next call renews it."""
    RENEWING = "renewing"
    NONE = "none"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    """What is stored could not be read now."""


NEED_A_PERSON = (Tokens.NONE, Tokens.REFUSED, Tokens.UNREADABLE)


@dataclass(frozen=True, slots=True)
class AuthorisationState:
    """One portal's authorisation, as commands show it. Times: UTC microseconds."""

    authorisation: str
    """oauth, webhook, token, signature or none."""
    tokens: Tokens
    access_until: int | None = None
    refresh_until: int | None = None
    why: str | None = None
    """The thing that a person must do, or that is going on."""


def authorisation_of(portal: PortalSettings) -> str:
    """How the settings say that a portal is let in."""
    if portal.oauth is not None:
        return "oauth"
    if portal.token is not None or portal.token_file is not None:
        return "token"
    if portal.webhook_url is not None or portal.webhook_url_file is not None:
        return "webhook"
    return "none"


def standing_unknown(portal: PortalSettings) -> AuthorisationState:
    """How the settings let a portal in, where what is stored cannot be read."""
    return AuthorisationState(authorisation_of(portal), Tokens.FIXED if portal.oauth is None else Tokens.UNKNOWN)


def standing_of(
    portal: PortalSettings, known: Credential | None, now: int, *, readable: bool = True
) -> AuthorisationState:
    """`known`: what is stored; `readable` False: it was encrypted with another key."""
    if portal.oauth is None:
        return AuthorisationState(authorisation_of(portal), Tokens.FIXED)
    if not readable:
        return AuthorisationState("oauth", Tokens.UNREADABLE, why=unreadable(portal.name))
    if known is None:
        return AuthorisationState("oauth", Tokens.NONE, why=f"not authorised yet: run `{command(portal.name)}`")
    until = known.pair.access_until, known.pair.refresh_until
    if known.refused is not None:
        return AuthorisationState("oauth", Tokens.REFUSED, *until, f"run `{command(portal.name)}` ({known.refused})")
    if known.pair.refresh_until <= now:
        return AuthorisationState(
            "oauth", Tokens.REFUSED, *until, f"run `{command(portal.name)}` (its refresh token is over)"
        )
    if known.claim is not None:
        return AuthorisationState("oauth", Tokens.RENEWING, *until, "a refresh is under way, or was cut off")
    return AuthorisationState("oauth", Tokens.GOOD if now < known.pair.access_until else Tokens.EXPIRED, *until)
