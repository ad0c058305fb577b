"""Where portals stand: how they are let in, which calls wait for them, and why they take none."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from streams.clock import UtcMicros, utc_now_us
from streams.credentials.record import Credential
from streams.credentials.sealing import Unreadable
from streams.credentials.standing import NEED_A_PERSON, AuthorisationState, standing_of
from streams.credentials.store import key_of
from streams.operations import token_store
from streams.operations.deliveries import WAITING, Overview
from streams.settings import PortalSettings, Settings


@dataclass(frozen=True, slots=True)
class PortalStatus:
    """One portal of the settings: its authorisation, and its calls as the delivery log has them."""

    portal: PortalSettings
    authorisation: AuthorisationState
    waiting: int = 0
    paused: str | None = None
    """Why it takes no calls until a person acts; a portal that is disabled is paused too."""
    disabled: str | None = None
    """Why it wants no more calls."""
    oldest: str | None = None
    """The call that has been waiting longest."""
    oldest_since: UtcMicros | None = None
    oldest_reason: str | None = None
    last_delivered: UtcMicros | None = None

    @property
    def needs_a_person(self) -> bool:
        """Whether its calls wait until somebody acts, or will."""
        return self.paused is not None or self.refused is not None

    @property
    def refused(self) -> AuthorisationState | None:
        """The authorisation, where the portal lets nobody in by it."""
        return self.authorisation if self.authorisation.tokens in NEED_A_PERSON else None


def status_of(portal: PortalSettings, authorisation: AuthorisationState, overview: Overview) -> PortalStatus:
    """A portal's status; `overview`: of its CRM's log."""
    waiting = sum(count for (name, state), count in overview.counts.items() if name == portal.name and state in WAITING)
    oldest, since = overview.oldest.get(portal.name, (None, None))
    return PortalStatus(
        portal,
        authorisation,
        waiting,
        overview.paused.get(portal.name),
        overview.disabled.get(portal.name),
        oldest,
        since,
        overview.oldest_reason.get(portal.name),
        overview.last_delivered.get(portal.name),
    )


async def authorisations(settings: Settings, portals: Sequence[PortalSettings]) -> Mapping[str, AuthorisationState]:
    """How the portals are let in, by name; tokens are read where one of them has OAuth. Raises UserError."""
    if not any(portal.oauth for portal in portals):
        return {portal.name: standing_of(portal, None, utc_now_us()) for portal in portals}
    found = {}
    async with token_store.open_store(settings) as store:
        for portal in portals:
            known: Credential | None = None
            readable = False
            with suppress(Unreadable):
                known = store.get(key_of(portal))
                readable = True
            found[portal.name] = standing_of(portal, known, utc_now_us(), readable=readable)
    return found
