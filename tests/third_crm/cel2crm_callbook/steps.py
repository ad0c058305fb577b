"""Callbook: a call result as the fields of a call, and its answers by what they prove. Pure."""

from streams.calls.result import CallResult
from streams.crm.shared.call_fields import external_id, outgoing, phone, talk_seconds
from streams.crm.shared.transport_answers import lookup_without_reply, without_reply
from streams.delivery.answers import (
    Answer,
    CallFound,
    LookupResult,
    NotFound,
    OutcomeUnknown,
    PortalBlocked,
    Refused,
    RetryLater,
    Succeeded,
)
from streams.http.request import Ending, Reply, local_iso
from streams.rules import CrmStatus

from .kind import KIND


def fields_of(result: CallResult, status: CrmStatus, board: str) -> dict[str, object]:
    """The body of POST /calls."""
    return {
        "board": board,
        "external_id": external_id(result.call_id, KIND.longest_external_id),
        "phone": phone(result),
        "direction": "out" if outgoing(result) else "in",
        "began_at": local_iso(result.started_at, result.utc_offset_seconds),
        "seconds": talk_seconds(result),
        "status": status.code,
    }


def answer_of(ending: Ending, now: int) -> Answer:
    """What the end of a POST proves. Only what surely had no effect may be sent again without a lookup."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    if ending.status == 201 and isinstance(ending.document, dict) and ending.document.get("id"):
        return Succeeded({"call": str(ending.document["id"])})
    problem = portal_problem(ending, now)
    if problem is not None:
        return problem
    if 400 <= ending.status < 500:
        return Refused(f"HTTP {ending.status}")
    return OutcomeUnknown(f"HTTP {ending.status} instead of a call")


def lookup_result(ending: Ending, now: int) -> LookupResult:
    """What GET /calls?external_id= shows."""
    if not isinstance(ending, Reply):
        return lookup_without_reply(ending)
    if ending.status == 200 and isinstance(ending.document, list):
        return CallFound({"call": str(ending.document[0]["id"])}) if ending.document else NotFound()
    return portal_problem(ending, now) or RetryLater(f"HTTP {ending.status} instead of a list", whole_portal=True)


def portal_problem(reply: Reply, now: int) -> RetryLater | PortalBlocked | None:
    """What an answer says of the portal as a whole; None: nothing."""
    if reply.status == 429:
        return RetryLater("too many requests", reply.retry_after(now), whole_portal=True)
    if reply.status in (401, 403):
        return PortalBlocked(f"the token is not good for this board (HTTP {reply.status})")
    return None
