"""Bitrix24: a call result as the fields of register and finish.

Facts: telephony.externalCall.register, .finish (apidocs.bitrix24.com); docs/crms.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from streams.calls.result import CallResult
from streams.crm.bitrix24.kind import KIND
from streams.crm.bitrix24.options import LONGEST_LINE, Bitrix24Options
from streams.crm.shared.call_fields import asks_responsible, external_id, outgoing, person_of, phone, talk_seconds
from streams.crm.shared.route import options_of
from streams.delivery.record import Attempt, Delivery
from streams.http.request import local_iso
from streams.rules import CrmStatus
from streams.settings import PortalSettings

BOTH = "register_finish"
METHODS = {
    "client": "telephony.externalCall.searchCrmEntities",
    "register": "telephony.externalcall.register",
    "finish": "telephony.externalcall.finish",
    BOTH: "batch",
    "comment": "crm.timeline.comment.add",
    "recording": "telephony.externalCall.attachRecord",
}
CALL_ID_OF_REGISTER = "$result[register][CALL_ID]"
"""Inside a batch."""

OUTGOING, INCOMING = 1, 2
SUCCESSFUL = "200"
LONGEST_REASON = 255
"""Characters of FAILED_REASON; a longer one fails the whole finish (seen in the product's source)."""

MAY_HAVE_REGISTERED = frozenset({"done", "partly", "unsure", "owner_lost", "found", "not_found", "gone"})
"""Outcomes of an attempt (record.Attempt) after which the portal may hold a registration."""


@dataclass(frozen=True, slots=True)
class CallWords:
    """How calls are shown: the status, and the words for why a call failed; both by the rules in force."""

    status: Callable[[CallResult], CrmStatus]
    reason: Callable[[CallResult], str] = lambda result: ""


def first_asked(delivery: Delivery, result: CallResult, portal: PortalSettings) -> bool:
    """Whether the portal is to be asked about the client before the call is registered."""
    if delivery.step not in ("register", BOTH) or "client" in delivery.steps_done:
        return False
    return portal.for_unknown_number == "skip" or asks_responsible(result, portal)


def fields_of(
    step: str, result: CallResult, delivery: Delivery, portal: PortalSettings, words: CallWords
) -> tuple[dict[str, object], str]:
    """The fields of a step's request, and the extension that nobody was found for, if so.

    SHOW and ADD_TO_CHAT 0: a call of hours ago opens no card and fills no chat.
    """
    if step == "client":
        return {"PHONE_NUMBER": phone(result)}, ""
    person = person_of(result, portal, delivery)
    user: dict[str, object] = {"USER_PHONE_INNER": person.inner} if person.inner else {"USER_ID": person.user or ""}
    match step:
        case "finish":
            return _finish_fields(user, result, delivery.crm_ids.get("CALL_ID", ""), words), person.no_user
        case "register_finish":
            both = {
                "register": _register_fields(user, result, delivery, portal),
                "finish": _finish_fields(user, result, CALL_ID_OF_REGISTER, words),
            }
            return dict[str, object](both), person.no_user
    return _register_fields(user, result, delivery, portal), person.no_user


def _finish_fields(user: dict[str, object], result: CallResult, call_id: str, words: CallWords) -> dict[str, object]:
    status = words.status(result).code
    reason = words.reason(result)[:LONGEST_REASON] if status != SUCCESSFUL else ""
    return {
        "CALL_ID": call_id,
        **user,
        "DURATION": talk_seconds(result),
        "STATUS_CODE": status,
        **({"FAILED_REASON": reason} if reason else {}),
        "ADD_TO_CHAT": 0,
    }


def _register_fields(
    user: dict[str, object], result: CallResult, delivery: Delivery, portal: PortalSettings
) -> dict[str, object]:
    options = Bitrix24Options.of(options_of(result, portal))
    line = line_number(delivery, result, options)
    return {
        **user,
        "PHONE_NUMBER": phone(result),
        "TYPE": OUTGOING if outgoing(result) else INCOMING,
        "CALL_START_DATE": local_iso(result.started_at, result.utc_offset_seconds),
        "EXTERNAL_CALL_ID": external_id(result.call_id, KIND.longest_external_id),
        **({"LINE_NUMBER": line} if line else {}),
        "CRM_CREATE": int(portal.for_unknown_number == "create_lead"),
        **({"CRM_SOURCE": options.crm_source} if options.crm_source else {}),
        "SHOW": 0,
        "ADD_TO_CHAT": 0,
    }


def line_number(delivery: Delivery, result: CallResult, options: Bitrix24Options) -> str:
    """LINE_NUMBER of a call: the DID, or what the settings put in its place; empty where neither is known.

    The line is part of the key by which a repeated register gives the same call, so that whatever may have been
    registered before decides: a later version of the result, or other settings, never change it.
    """
    before = _registered_before(delivery)
    if before is not None:
        return str(before.get("LINE_NUMBER") or "")
    did, trunk = result.did or "", result.trunk or ""
    line = options.line_of.get(did) or did or options.line_of.get(trunk, "")
    return line if len(line) <= LONGEST_LINE else ""


def _registered_before(delivery: Delivery) -> dict[str, Any] | None:
    """The fields of the first register that may have had its effect; None: there was none."""
    sent: dict[str, str] = {}
    for attempt in delivery.history:
        sent[attempt.step] = attempt.sent or sent.get(attempt.step, "")
        if _may_have_registered(attempt) and sent[attempt.step]:
            return _register_part(sent[attempt.step])
    doubt = delivery.doubt
    return _register_part(doubt.sent) if doubt is not None and doubt.step in ("register", BOTH) and doubt.sent else None


def _may_have_registered(attempt: Attempt) -> bool:
    return attempt.step in ("register", BOTH) and attempt.outcome in MAY_HAVE_REGISTERED


def _register_part(sent: str) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(sent)
    register: dict[str, Any] = fields.get("register", fields)
    return register
