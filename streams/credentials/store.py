"""How authorisations are kept: encrypted, one a portal, changed by compare and swap."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from streams.credentials.record import Credential
from streams.credentials.sealing import Sealer, Unreadable
from streams.settings import PortalSettings

Decide = Callable[[Credential | None], Credential | None]
"""A function from the stored authorisation to the next one; None: leave it. Pure: it may be called again."""


def key_of(portal: PortalSettings) -> str:
    """Under which a portal's authorisation is stored: portals of different CRMs may have one name."""
    return f"{portal.crm}/{portal.name}"


class CredentialStore(Protocol):
    """Shared by all workers and by the command line."""

    def get(self, key: str) -> Credential | None:
        """The authorisation known to be stored. Raises Unreadable where it was encrypted with another key."""
        ...

    async def change(self, key: str, decide: Decide) -> Credential | None:
        """Store what `decide` makes of what is stored, unless somebody else changes it between; what stands then.

        What it returns is durable. Raises KafkaError or TimeoutError: it may or may not be stored. An unreadable
        authorisation is as none.
        """
        ...


def sealed(credential: Credential, sealer: Sealer) -> bytes:
    """An authorisation as it is stored."""
    return sealer.seal(msgspec.json.encode(credential))


def opened(key: str, value: bytes, sealer: Sealer) -> Credential:
    """An authorisation out of the store. Raises Unreadable; also for one that was put under another portal's key."""
    try:
        credential = msgspec.json.decode(sealer.open(value), type=Credential)
    except msgspec.MsgspecError as error:
        raise Unreadable from error
    if credential.portal != key:
        raise Unreadable
    return credential
