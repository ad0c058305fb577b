"""Kommo (amoCRM): a call result as the fields of a call, and its answers by what they prove.

Facts: POST /api/v4/calls, notes, contacts, limitations (developers.kommo.com); docs/crms.md.
"""

import re
from collections.abc import Callable
from typing import Any

from streams.calls.result import CallResult
from streams.crm.kommo.kind import KIND
from streams.crm.shared.call_fields import (
    asks_responsible,
    external_id,
    outgoing,
    person_of,
    phone,
    talk_seconds,
    user_ref,
)
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import (
    Answer,
    OutcomeUnknown,
    PortalBlocked,
    PrerequisiteMissing,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
)
from streams.delivery.record import Delivery
from streams.http.request import Ending, Reply
from streams.rules import CrmStatus
from streams.settings import PortalSettings

SOURCE = "cel2crm"
ENTITY_NOT_FOUND = 263
OUTBOUND = "outbound"

OWN = frozenset({"title", "validation-errors", "errors", "_embedded"})
"""One of these stands in every answer of Kommo's; a gateway's own JSON has none."""

PAUSING = {
    401: "the token is not valid (any more)",
    402: "the account is not paid",
    403: "access denied: the integration's rights, or this address is blocked for too many requests",
    404: "the account or the address is not known",
    405: "the address is not Kommo's",
}


def first_asked(delivery: Delivery, result: CallResult, portal: PortalSettings) -> bool:
    """Whether the account is to be asked who is responsible for the client, before the call goes there."""
    return delivery.step == "call" and "client" not in delivery.steps_done and asks_responsible(result, portal)


def fields_of(
    step: str,
    result: CallResult,
    delivery: Delivery,
    portal: PortalSettings,
    status: Callable[[CallResult], CrmStatus],
) -> tuple[dict[str, object], str]:
    """The fields of a step's request, and the extension that nobody was found for, if so."""
    if step == "client":
        return {"query": last_digits(phone(result))}, ""
    person = person_of(result, portal, delivery)
    user = int(person.user) if person.user and person.user.isdigit() else None
    return _without_null(_BODIES[step](result, user, status(result))), person.no_user


def _call(result: CallResult, user: int | None, outcome: CrmStatus) -> dict[str, object | None]:
    """A call as POST /api/v4/calls takes it."""
    uniq = external_id(result.call_id, KIND.longest_external_id)
    return {
        "direction": OUTBOUND if outgoing(result) else "inbound",
        "uniq": uniq,
        "duration": talk_seconds(result),
        "source": SOURCE,
        "phone": phone(result),
        "call_status": outcome.code,
        "call_result": outcome.text or None,
        "created_at": result.started_at // 1_000_000,
        "responsible_user_id": user,
        "request_id": uniq,
    }


def _contact(result: CallResult, user: int | None, _: CrmStatus) -> dict[str, object | None]:
    """A contact for an unknown number."""
    return {**_person_card(result, user), "request_id": external_id(result.call_id, KIND.longest_external_id)}


def _lead(result: CallResult, user: int | None, _: CrmStatus) -> dict[str, object | None]:
    """A lead with its contact, as POST /api/v4/leads/complex takes them: both or neither."""
    return {
        "name": phone(result),
        "responsible_user_id": user,
        "_embedded": {"contacts": [_without_null(_person_card(result, user))]},
        "request_id": external_id(result.call_id, KIND.longest_external_id),
    }


def _unsorted(result: CallResult, _: int | None, outcome: CrmStatus) -> dict[str, object | None]:
    """An incoming lead of type sip. It has no field for the status: the words stand in the lead's name."""
    uniq, number = external_id(result.call_id, KIND.longest_external_id), phone(result)
    moment = result.started_at // 1_000_000
    return {
        "source_name": SOURCE,
        "source_uid": uniq,
        "created_at": moment,
        "metadata": {
            "from": number,
            "phone": result.did or result.called or number,
            "called_at": moment,
            "duration": talk_seconds(result),
            "link": "",
            "service_code": SOURCE,
            "uniq": uniq,
            "is_call_event_needed": True,
        },
        "_embedded": {
            "leads": [{"name": f"{number}: {outcome.text}" if outcome.text else number}],
            "contacts": [_without_null(_person_card(result, None))],
        },
        "request_id": uniq,
    }


def _person_card(result: CallResult, user: int | None) -> dict[str, object | None]:
    number = phone(result)
    phones = [{"field_code": "PHONE", "values": [{"value": number, "enum_code": "WORK"}]}]
    return {"name": number, "responsible_user_id": user, "custom_fields_values": phones}


_BODIES: dict[str, Callable[[CallResult, int | None, CrmStatus], dict[str, object | None]]] = {
    "call": _call,
    "contact": _contact,
    "lead": _lead,
    "unsorted": _unsorted,
}
ADDRESSES = {
    "call": ("calls",),
    "contact": ("contacts",),
    "lead": ("leads", "complex"),
    "unsorted": ("leads", "unsorted", "sip"),
}
"""Where each step's request is posted, below /api/v4."""


def _without_null(fields: dict[str, object | None]) -> dict[str, object]:
    """The fields that are set: Kommo refuses null."""
    return {name: value for name, value in fields.items() if value is not None}


def last_digits(number: str) -> str:
    """The part of a phone number that Kommo compares: its last 10 digits."""
    return re.sub(r"\D", "", number)[-10:]


def has_phone(contact: dict[str, Any], digits: str) -> bool:
    """Whether a contact has this number. A search by text finds more than phones."""
    fields = contact.get("custom_fields_values")
    phones = [field for field in fields or () if isinstance(field, dict) and field.get("field_code") == "PHONE"]
    values = [value for field in phones for value in field.get("values") or () if isinstance(value, dict)]
    return any(last_digits(str(value.get("value") or "")) == digits for value in values)


def unknown_number(policy: str, sent: dict[str, object]) -> Answer:
    """The answer where no contact, company or lead has the call's number, by the setting `unknown_number`."""
    why = "no contact or lead has this number (Entity not found)"
    match policy:
        case "retry":
            return RetryLater(why)
        case "skip":
            return SkipCall("the CRM does not know this number (portals[].unknown_number: skip)")
        case "create_lead":
            return PrerequisiteMissing("lead", why)
        case "unsorted" if sent.get("direction") != OUTBOUND:
            return PrerequisiteMissing("unsorted", why)
    # Incoming leads take incoming calls only; an outgoing call needs a contact to stand at.
    return PrerequisiteMissing("contact", why)


def answer_of(step: str, ending: Ending, sent: dict[str, object], policy: str, now: int) -> Answer:
    """The answer that the end of a POST of one item proves.

    `sent`: the item; `policy`: what to do about an unknown number.
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
    words = error_text(ending)
    if "responsible_user_id" in words and "responsible_user_id" in sent:
        return UserUnknown(user_ref(str(sent["responsible_user_id"])), words)
    return Refused(words)


def portal_problem(reply: Reply, now: int) -> RetryLater | PortalBlocked | OutcomeUnknown | None:
    """The problem of the account that an answer tells; None: the error is about this call."""
    if reply.status == 429:
        return RetryLater("too many requests", reply.retry_after(now), whole_portal=True)
    if 300 <= reply.status < 400:
        return PortalBlocked("the account's address leads elsewhere: set its new address")
    if not isinstance(reply.document, dict) or not OWN.intersection(reply.document) or reply.status < 400:
        return OutcomeUnknown(f"HTTP {reply.status} without an answer of Kommo's")
    if reply.status in PAUSING:
        return PortalBlocked(f"{PAUSING[reply.status]} (HTTP {reply.status}: {error_text(reply)})")
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
            ids = {"note": item.get("id"), "entity_id": item.get("entity_id"), "entity_type": item.get("entity_type")}
    return {name: str(value) for name, value in ids.items() if value is not None}


def _status(error: object) -> object:
    return error.get("status") if isinstance(error, dict) else None
