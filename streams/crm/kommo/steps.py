"""Kommo (amoCRM): a call result as the fields of a call, and its answers by what they prove.

Facts: POST /api/v4/calls, notes, contacts, limitations (developers.kommo.com); spec crm-apis.md.
"""

from collections.abc import Callable
from typing import Any

from streams.calls.result import CallResult
from streams.crm.events import Answer, Done, Later, NotSent, Pause, Refused, Unsure
from streams.crm.http import Ending, NoReply, NothingSent, Reply, TooLate
from streams.crm.person import external_id, outgoing, phone, responsible, talk_seconds
from streams.rules import KommoStatus
from streams.settings import PortalSettings

SOURCE = "cel2crm"
ENTITY_NOT_FOUND = 263

PAUSING = {
    401: "the token is not valid (any more)",
    402: "the account is not paid",
    403: "access denied: the integration's rights, or this address is blocked for too many requests",
    404: "the account or the address is not known",
    405: "the address is not Kommo's",
}


def call_fields(
    result: CallResult, portal: PortalSettings, status: Callable[[CallResult], KommoStatus]
) -> dict[str, object]:
    """A call as POST /api/v4/calls takes it. What is not set is left out: Kommo refuses null."""
    outcome = status(result)
    user = responsible(result, portal.users, portal.default_user, portal.missed_call_user)
    uniq = external_id(result.call_id)
    fields: dict[str, object | None] = {
        "direction": "outbound" if outgoing(result) else "inbound",
        "uniq": uniq,
        "duration": talk_seconds(result),
        "source": SOURCE,
        "phone": phone(result),
        "call_status": outcome.status,
        "call_result": outcome.text or None,
        "created_at": result.started_at // 1_000_000,
        "responsible_user_id": int(user) if user and user.isdigit() else None,
        "request_id": uniq,
    }
    return {name: value for name, value in fields.items() if value is not None}


def contact_fields(result: CallResult) -> dict[str, object]:
    """A contact for an unknown number."""
    number = phone(result)
    return {
        "name": number,
        "custom_fields_values": [{"field_code": "PHONE", "values": [{"value": number, "enum_code": "WORK"}]}],
        "request_id": external_id(result.call_id),
    }


def answer_of(ending: Ending, kind: str, request_id: str, now: int, *, unknown: Answer) -> Answer:
    """What the end of a POST of one item proves. `kind`: calls or contacts; `unknown`: what an unknown phone means."""
    match ending:
        case TooLate():
            return NotSent()
        case NothingSent():
            return Pause(ending.why) if ending.hopeless else Later(ending.why, whole_portal=True)
        case NoReply():
            return Unsure(ending.why)
    document = ending.document if isinstance(ending.document, dict) else None
    if ending.status in (200, 201):
        made = _items(document, kind)
        ours = next((item for item in made if str(item.get("request_id")) == request_id), None)
        if ours is not None:
            return Done(_ids(ours, kind))
        if document is None or not document.get("errors"):
            return Unsure(f"HTTP {ending.status} that names no such item")
    trouble = trouble_of(ending, now)
    if trouble is not None:
        return trouble
    errors = document.get("errors") if document else None
    if isinstance(errors, list) and any(_status(error) == ENTITY_NOT_FOUND for error in errors):
        return unknown
    return Refused(words_of(ending))


def trouble_of(reply: Reply, now: int) -> Later | Pause | Unsure | None:
    """What an answer says of the account; None: the error is about this call."""
    if reply.status == 429:
        return Later("too many requests", reply.retry_after(now), whole_portal=True)
    if 300 <= reply.status < 400:
        return Pause("the account's address leads elsewhere: set its new address")
    if not isinstance(reply.document, dict):
        return Unsure(f"HTTP {reply.status} without an answer of Kommo's")
    if reply.status in PAUSING:
        return Pause(f"{PAUSING[reply.status]} (HTTP {reply.status}: {words_of(reply)})")
    if reply.status == 503 and "title" in reply.document:
        return Later(words_of(reply), reply.retry_after(now), whole_portal=True)
    if reply.status >= 500:
        # There is no second call to be compared with: an error in the middle may have left its note.
        return Unsure(words_of(reply))
    return None


def words_of(reply: Reply) -> str:
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


def _items(document: dict[str, Any] | None, kind: str) -> list[dict[str, Any]]:
    embedded = document.get("_embedded") if document else None
    items = embedded.get(kind) if isinstance(embedded, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _ids(item: dict[str, Any], kind: str) -> dict[str, str]:
    if kind == "contacts":
        return {"contact": str(item.get("id"))}
    ids = {"note": item.get("id"), "entity_id": item.get("entity_id"), "entity_type": item.get("entity_type")}
    return {name: str(value) for name, value in ids.items() if value is not None}


def _status(error: object) -> object:
    return error.get("status") if isinstance(error, dict) else None
