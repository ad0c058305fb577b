"""The contract of a CRM's client with the delivery worker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from streams.calls.result import CallResult
from streams.clock import BootSeconds
from streams.delivery.answers import Answer, LookupResult
from streams.delivery.plan import Plan
from streams.delivery.record import Delivery


@dataclass(frozen=True, slots=True)
class Request:
    """One step's request: its fields as JSON (never a secret), and the CRM's status and text in it."""

    sent: str
    status: str | None = None
    text: str | None = None
    step: str = ""
    """A step to be taken in place of the delivery's own (events.Due)."""
    no_user: str = ""
    """Extension that the settings name nobody for (events.Due)."""


Pace = Callable[[], Awaitable[None]]


async def unpaced() -> None:
    """Do not wait."""


class CrmClient(Protocol):
    """One portal. Nothing here raises for what a portal does; every outcome is an answer."""

    plan: Plan
    pace: Pace
    """Awaited before each request where `look_up` makes several: the portal's rate. Set by the portal's queue."""
    fingerprint: str
    """A hash of address and credentials that tells neither; empty where a portal never says that it wants no more."""

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The request of the delivery's step, or of one in its place. Pure."""
        ...

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """Send the request of the delivery's open intent, once; nothing goes out after `until`."""
        ...

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """Look for what the delivery's doubtful attempt may have made, in several requests if need be, each within the
        time of one."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
