"""Kommo (amoCRM): the answers to requests, by what they prove. Pure.

Facts: POST /api/v4/calls, notes, contacts, limitations, HTTP codes (developers.kommo.com); docs/crms.md.
"""

from typing import Any

from streams.crm.kommo.steps import MAKER_FIELDS, OUTBOUND
from streams.crm.shared.call_fields import user_ref
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import (
    Answer,
    FieldRefused,
    NotYet,
    OutcomeUnknown,
    PortalBlocked,
    PrerequisiteMissing,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
)
from streams.delivery.record import OWNER_LOST, Delivery
from streams.http.request import Ending, Reply

ENTITY_NOT_FOUND = 263

OWN = frozenset({"title", "validation-errors", "errors", "_embedded"})
"""One of these stands in every answer of Kommo's; a gateway's own JSON has none."""

PAUSING = {
    401: "the token is not valid (any more): make a new one (the integration, Keys and scopes), or authorise again",
    402: "the account is not paid: pay for it",
    403: "access denied: the integration is switched off or lacks rights, or this machine's address is blocked for too "
    "many requests",
    404: "the account or the address is not known: check portals[].url",
    405: "the address is not Kommo's: check portals[].url",
}
"""Statuses that no single call is at fault for, whatever the body: nothing was done."""

SHOWN_ONCE = ("call", "unsorted")
"""Steps whose request must not be refused where an earlier one did its work."""
MOST_DOUBTS = 2
"""A refusal after so many requests of unknown outcome is looked up once more; then it is one."""

BLOCKED = (
    "this machine's address is blocked for too many requests: write to the vendor's support with the address and the "
    "account's subdomain; one request an hour is tried"
)


def unknown_number(policy: str, sent: dict[str, object]) -> Answer:
    """The answer where no contact, company or lead has the call's number, by the setting `unknown_number`."""
    why = "no contact or lead has this number (Entity not found)"
    match policy:
        case "retry":
            return NotYet(why)
        case "skip":
            return SkipCall("the CRM does not know this number (portals[].unknown_number: skip)")
        case "create_lead":
            return PrerequisiteMissing("lead", why)
        case "unsorted" if sent.get("direction") != OUTBOUND:
            return PrerequisiteMissing("unsorted", why)
    # Incoming leads take incoming calls only; an outgoing call needs a contact to stand at.
    return PrerequisiteMissing("contact", why)


def answer_of(step: str, ending: Ending, sent: dict[str, object], policy: str, now: int, doubtful: int = 0) -> Answer:
    """The answer that the end of a POST of one item proves.

    `sent`: the item; `policy`: what to do about an unknown number; `doubtful`: earlier requests of unknown outcome.
    """
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document if isinstance(ending.document, dict) else None
    if ending.status in (200, 201):
        made = items_of(ending.document, step)
        ours = next((item for item in made if _is_of(item, str(sent.get("request_id")))), None)
        if ours is not None:
            return Succeeded(ids_of(ours, step))
        if document is None or not document.get("errors"):
            return OutcomeUnknown(f"HTTP {ending.status} that names no such item")
    problem = portal_problem(ending, now)
    if problem is not None:
        return problem
    errors = document.get("errors") if document else None
    if isinstance(errors, list) and any(_status(error) == ENTITY_NOT_FOUND for error in errors):
        return unknown_number(policy, sent)
    answer = _refusal(document or {}, sent, error_text(ending))
    if isinstance(answer, Refused) and step in SHOWN_ONCE and doubtful <= MOST_DOUBTS:
        there = named_fields(document or {}) & {"uniq", "source_uid"}
        if there or doubtful:
            # A second one of the same is an error somewhere: it is looked for once more before that is believed.
            return OutcomeUnknown(f"it may be there already ({answer.why})")
    return answer


def doubtful_attempts(delivery: Delivery, step: str) -> int:
    """How many requests of a step ended nobody knows how."""
    unknown = (OutcomeUnknown.code, OWNER_LOST)
    return sum(attempt.step == step and attempt.outcome in unknown for attempt in delivery.history)


def _refusal(document: dict[str, Any], sent: dict[str, object], words: str) -> Answer:
    """The answer where Kommo finds fault with an item: by the fields that it names."""
    named = named_fields(document)
    if "responsible_user_id" in named and "responsible_user_id" in sent:
        return UserUnknown(user_ref(str(sent["responsible_user_id"])), words)
    metadata = sent.get("metadata")
    given = {*sent, *(metadata if isinstance(metadata, dict) else ())}
    makers = tuple(name for name in MAKER_FIELDS if name in named and name in given)
    if makers and named <= {*makers, "updated_by"}:
        # The user is good enough to be responsible: this token may not say who made a call.
        return FieldRefused(makers, words)
    return Refused(words)


def named_fields(document: dict[str, Any]) -> set[str]:
    """The fields that validation errors name: the last part of each path."""
    found: set[str] = set()
    for each in document.get("validation-errors") or ():
        errors = each.get("errors") if isinstance(each, dict) else None
        paths = (str(error.get("path") or "") for error in errors or () if isinstance(error, dict))
        found |= {path.rpartition(".")[2] for path in paths if path}
    return found


def choice_refused(reply: object) -> bool:
    """Whether a field was refused with NotSupportedChoice: Kommo's word for a user who is not active, among others."""
    document = reply.document if isinstance(reply, Reply) else None
    return isinstance(document, dict) and "NotSupportedChoice" in str(document.get("validation-errors"))


def inactive(ending: object) -> bool:
    """Whether the answer to the question about one user says that there is no such active user."""
    if not isinstance(ending, Reply) or not isinstance(ending.document, dict):
        return False
    rights = ending.document.get("rights")
    gone = ending.status == 404 and bool(OWN.intersection(ending.document))
    return gone or (ending.status == 200 and isinstance(rights, dict) and rights.get("is_active") is False)


def portal_problem(reply: Reply, now: int) -> RetryLater | PortalBlocked | OutcomeUnknown | None:
    """The problem of the account that an answer tells; None: the error is about this call."""
    if reply.status == 429:
        return RetryLater("too many requests", reply.retry_after(now), whole_portal=True)
    if 300 <= reply.status < 400:
        return PortalBlocked("the account's address leads elsewhere: set its new address")
    own = isinstance(reply.document, dict) and bool(OWN.intersection(reply.document))
    if reply.status == 403 and not own:
        return PortalBlocked(f"{BLOCKED} (HTTP 403)", rarely=True)
    if reply.status in PAUSING:
        why = f"HTTP {reply.status}: {error_text(reply)}" if own else f"HTTP {reply.status}"
        return PortalBlocked(f"{PAUSING[reply.status]} ({why})", rarely=reply.status == 403)
    if not own or reply.status < 400:
        return OutcomeUnknown(f"HTTP {reply.status} without an answer of Kommo's")
    if reply.status >= 500:
        # Kommo does not compare a second call with the first: an error in the middle may have left its note.
        return OutcomeUnknown(error_text(reply))
    return None


def error_text(reply: Reply) -> str:
    """The error in Kommo's words."""
    document: Any = reply.document if isinstance(reply.document, dict) else {}
    parts = [str(document[name]) for name in ("title", "detail") if document.get(name)]
    for each in document.get("validation-errors") or ():
        if isinstance(each, dict):
            parts += [f"{error.get('path')}: {error.get('detail')}" for error in each.get("errors") or () if error]
    for error in document.get("errors") or ():
        if isinstance(error, dict):
            parts.append(str(error.get("detail") or error.get("title")))
    return "; ".join(dict.fromkeys(parts))[:500] or f"HTTP {reply.status}"


def items_of(document: Any, step: str) -> list[dict[str, Any]]:
    """The items of an answer. leads/complex answers with a bare list, the others with an embedded one."""
    if step != "lead":
        embedded = document.get("_embedded") if isinstance(document, dict) else None
        document = embedded.get(_LISTS[step]) if isinstance(embedded, dict) else None
    return [item for item in document if isinstance(item, dict)] if isinstance(document, list) else []


_LISTS = {"call": "calls", "contact": "contacts", "unsorted": "unsorted", "text_note": "notes"}


def _is_of(item: dict[str, Any], request_id: str) -> bool:
    """leads/complex echoes a list of request ids, the others echo one."""
    echoed = item.get("request_id")
    return request_id in map(str, echoed if isinstance(echoed, list) else [echoed])


PLURALS = {"contact": "contacts", "lead": "leads", "company": "companies", "customer": "customers"}
"""The entities that a call may stand at, and the lists of them. Not every account has customers."""


def entity_of(kind: object) -> str | None:
    """An entity's type in the singular; Kommo and its SDK write both."""
    return next((one for one, many in PLURALS.items() if kind in (one, many)), None if kind is None else str(kind))


def ids_of(item: dict[str, Any], step: str) -> dict[str, str]:
    """The CRM's ids of what a step made."""
    match step:
        case "contact":
            ids = {"contact": item.get("id")}
        case "lead":
            ids = {"lead": item.get("id"), "contact": item.get("contact_id")}
        case "text_note":
            ids = {"text_note": item.get("id")}
        case "unsorted":
            leads = (item.get("_embedded") or {}).get("leads") or [{}]
            ids = {"unsorted": item.get("uid"), "lead": leads[0].get("id")}
        case _:
            kind = entity_of(item.get("entity_type"))
            ids = {"note": item.get("id"), "entity_id": item.get("entity_id"), "entity_type": kind}
    return {name: str(value) for name, value in ids.items() if value is not None}


def _status(error: object) -> object:
    return error.get("status") if isinstance(error, dict) else None
