"""Access tokens, and where a CRM's client gets them from."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

from streams.clock import BootSeconds
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.errors import SettingsError
from streams.settings import PortalSettings, secret


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and the REST address that it was issued for (empty: that of the settings)."""

    access: str = field(repr=False)
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens as the vendor issued them together. A refresh token is good for one use; using it ends both."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    received_at: int
    access_until: int
    """By this machine's clock, from when it was received: the vendor's clock does not matter."""
    refresh_until: int
    endpoint: str = ""
    """The portal's REST address as the vendor names it, within the portal's own domain; empty: that of the settings."""
    server: str = ""
    """Host of the authorisation server that issues the next pair, one of the vendor's; empty: it has but one."""

    @property
    def mark(self) -> str:
        """Tells refresh tokens apart without holding one."""
        return hashlib.sha256(self.refresh.encode()).hexdigest()[:16]

    @property
    def half_spent_at(self) -> int:
        """From then on the refresh token is to be renewed even if nobody needs an access token."""
        return self.received_at + (self.refresh_until - self.received_at) // 2


@dataclass(frozen=True, slots=True)
class GrantRefused:
    """The code or refresh token is used, expired or withdrawn; no other try will do."""

    code: ClassVar[str] = "grantrefused"
    why: str


TokenAnswer = Pair | GrantRefused | PortalBlocked | RetryLater | OutcomeUnknown
"""RetryLater and PortalBlocked: the request had no effect. OutcomeUnknown: the refresh token may be used up."""


def outcome_label(answer: TokenAnswer) -> str:
    """The value of the label `outcome` of cel2crm_token_refreshes."""
    return "renewed" if isinstance(answer, Pair) else answer.code


class TokenSource(Protocol):
    """The access tokens of one portal."""

    async def token(self, until: BootSeconds) -> Token | RetryLater | PortalBlocked:
        """A token for a request that ends before `until` (`boot_seconds`); may wait for one."""
        ...

    async def after(self, rejected: Token, until: BootSeconds) -> Token | RetryLater | PortalBlocked | None:
        """A token instead of one that the portal did not take.

        None: there is no better one; the portal's answer stands.
        """
        ...


class FixedToken:
    """A long-lived token out of the settings. One that is not taken is read again: its file may hold another by now."""

    def __init__(self, portal: PortalSettings) -> None:
        """Raises SettingsError where there is none."""
        self._portal = portal
        self._token = self._read()

    async def token(self, until: BootSeconds) -> Token | RetryLater | PortalBlocked:
        """See TokenSource."""
        return self._token

    async def after(self, rejected: Token, until: BootSeconds) -> Token | RetryLater | PortalBlocked | None:
        """See TokenSource."""
        try:
            self._token = self._read()
        except SettingsError as error:
            return PortalBlocked(error.problem)
        return None if self._token == rejected else self._token

    def _read(self) -> Token:
        portal = self._portal
        return Token(secret(portal.token, portal.token_file, f"portals.{portal.name}.token"))


Ended = TypeVar("Ended")


async def with_token(
    tokens: TokenSource, until: BootSeconds, ask: Callable[[Token], Awaitable[Ended]], outdated: Callable[[Ended], bool]
) -> Ended | RetryLater | PortalBlocked:
    """Ask with a token; if the answer says that it is `outdated`, and so had no effect, ask the same once more."""
    token = await tokens.token(until)
    if not isinstance(token, Token):
        return token
    ended = await ask(token)
    if not outdated(ended):
        return ended
    other = await tokens.after(token, until)
    if other is None:
        return ended
    return await ask(other) if isinstance(other, Token) else other
