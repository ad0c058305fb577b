"""The check of a Callbook: `cel2crm portal check`, and at the start of its worker. A question that finds nothing."""

from streams.calls.result import CallResult
from streams.crm.shared.check import CheckRequest, Finding, Level, blocked, unreachable
from streams.delivery.answers import NotFound, PortalBlocked, RetryLater
from streams.rules import CrmStatus

from .client import CallbookClient

NOBODYS = "cel2crm-check"
"""An id that no call has."""


async def check(request: CheckRequest) -> list[Finding]:
    """Whether Callbook takes the token, by a lookup. Raises SettingsError: address or token missing."""
    client = CallbookClient(request.portal, _no_status)
    try:
        await request.pace()
        answer = await client.look_up_id(NOBODYS, request.until)
    finally:
        await client.close()
    match answer:
        case PortalBlocked():
            return [blocked("token", answer)]
        case RetryLater():
            return [unreachable(answer)]
        case NotFound():
            return [Finding(Level.GOOD, "token", "Callbook takes it")]
    return [Finding(Level.AWAY, "portal", "Callbook finds a call that is not there")]


def _no_status(_: CallResult) -> CrmStatus:
    raise AssertionError("a check sends no call")
