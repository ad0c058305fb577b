"""Kommo: a later version of a delivered call, as a text note beside it or in the call's own note.

Facts: add notes, edit notes, get note (developers.kommo.com).
"""

from collections.abc import Callable
from typing import Any

import orjson

from streams.calls.result import CallResult
from streams.crm.kommo.answers import PLURALS, entity_of, error_text, items_of, portal_problem
from streams.crm.kommo.kind import KIND, STATUSES
from streams.crm.shared.call_fields import external_id, talk_seconds
from streams.crm.shared.correction_note import as_shown, correction
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import Answer, OutcomeUnknown, Refused, SkipCall, Succeeded
from streams.delivery.record import Delivery
from streams.http.request import Ending, Reply
from streams.rules import CrmStatus

SHOWN = ("call_status", "call_result", "duration")
"""The fields of a call's note that are ours, and that a person may change."""


def _values(result: CallResult, status: Callable[[CallResult], CrmStatus]) -> dict[str, object]:
    outcome = status(result)
    return {"call_status": outcome.code, "call_result": outcome.text or "", "duration": talk_seconds(result)}


def _shown_in(fields: dict[str, Any]) -> dict[str, str]:
    """As compared: what is not there is empty, and a number may come back as a string (amocrm-api-php issue 471)."""
    return {name: str(fields[name]) if fields.get(name) is not None else "" for name in SHOWN}


def _place(delivery: Delivery) -> tuple[str, str]:
    """The entity that the call stands at; of an incoming lead, the lead."""
    ids = delivery.crm_ids
    if "entity_id" in ids:
        return entity_of(ids.get("entity_type")) or "", ids["entity_id"]
    return ("lead", ids["lead"]) if "lead" in ids else ("", "")


def text_fields(delivery: Delivery, result: CallResult, status: Callable[[CallResult], CrmStatus]) -> dict[str, object]:
    """A text note at the call's entity."""
    kind, entity = _place(delivery)
    before, after = _shown_in(orjson.loads(delivery.sent or "{}")), _values(result, status)
    words = [as_shown(one["call_status"], _words(one), one["duration"]) for one in (before, _shown_in(after))]
    return {
        "entity_type": kind,
        "entity_id": entity,
        "note_type": "common",
        "params": {"text": correction(delivery, *words)},
        "request_id": external_id(delivery.call_id, KIND.longest_external_id),
    }


def _words(values: dict[str, str]) -> str:
    return values["call_result"] or _status_words(values["call_status"])


def _status_words(status: object) -> str:
    """Kommo's own words for a status."""
    return next((words for code, words in STATUSES.items() if str(code) == str(status)), "")


def update_fields(
    delivery: Delivery, result: CallResult, status: Callable[[CallResult], CrmStatus]
) -> dict[str, object]:
    """The call's note: what it is to show, and what it shows if nobody has touched it since."""
    kind, entity = _place(delivery)
    was = _shown_in(orjson.loads(delivery.sent or "{}"))
    ids = {"entity_type": kind, "entity_id": entity, "note": delivery.crm_ids.get("note", "")}
    values = _values(result, status)
    if was["call_result"] and not values["call_result"]:
        # Kommo refuses an empty text, and one that is left out may stay as it was.
        values["call_result"] = _status_words(values["call_status"])
    return {**ids, **values, "was": was}


def without_request(step: str, sent: dict[str, Any]) -> Answer | None:
    """The answer that is known before anything is sent: there is nothing to tell, or nowhere to. None: send."""
    nothing = not sent["params"]["text"] if step == "text_note" else _shown_in(sent) == _shown_in(sent["was"])
    if nothing:
        return Succeeded(note="nothing that the CRM shows has changed")
    if not sent["entity_id"] or sent["entity_type"] not in PLURALS:
        return SkipCall("a later version came; it is not known where the call stands in the CRM")
    if step == "update" and not sent["note"]:
        return SkipCall("a later version came; the call is an incoming lead, whose call cannot be changed")
    return None


def touched(note: dict[str, Any] | None, sent: dict[str, Any]) -> Answer | None:
    """The answer if the note, as read just before the change, is not to be changed; None: change it."""
    if note is None:
        return SkipCall("a later version came; the call's note is no longer there")
    now = _shown_in(note.get("params") or {})
    if now == _shown_in(sent):
        return Succeeded()
    was = _shown_in(sent["was"])
    if now != was:
        changed = ", ".join(name for name in SHOWN if now[name] != was[name])
        return SkipCall(f"a later version came, but a person changed the call in the CRM ({changed}): kept")
    return None


def changed_note(note: dict[str, Any], sent: dict[str, Any]) -> dict[str, object]:
    """The note as PATCH takes it: all its params, so that none gets lost, with ours changed; without the nulls that GET
    gives and PATCH refuses (amocrm-api-php issues 383, 570)."""
    values = {**note["params"], **{name: sent[name] for name in SHOWN}}
    params = {name: value for name, value in values.items() if value is not None}
    if not params.get("call_result"):
        params.pop("call_result", None)
    return {
        "id": int(sent["note"]),
        "entity_id": int(sent["entity_id"]),
        "note_type": note.get("note_type"),
        "params": params,
    }


def edited_of(ending: Ending, note: str, now: int) -> Answer:
    """The answer that the end of the PATCH proves."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    edited = items_of(ending.document, "text_note") if ending.status == 200 else []
    if any(str(one.get("id")) == note for one in edited):
        return Succeeded()
    if ending.status == 200:
        return OutcomeUnknown("HTTP 200 that names no such note")
    if ending.status == 404 and isinstance(ending.document, dict):
        return touched(None, {}) or Succeeded()
    return portal_problem(ending, now) or Refused(error_text(ending))
