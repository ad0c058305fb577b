"""Bitrix24: a finished call cannot be changed; a later version is a comment in its client's timeline.

Facts: crm.timeline.comment.add and .list (apidocs.bitrix24.com); scope crm, and `fields` in small letters.
"""

from collections.abc import Callable
from typing import Any

import orjson

from streams.calls.result import CallResult
from streams.crm.bitrix24.errors import LIMITS, code_of, error_text, portal_problem
from streams.crm.bitrix24.kind import STATUSES
from streams.crm.shared.call_fields import talk_seconds
from streams.crm.shared.correction_note import as_shown, correction, note_marker
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
    SkipCall,
    Succeeded,
)
from streams.delivery.record import Delivery, Intent
from streams.http.request import Ending, Reply
from streams.rules import CrmStatus

LIST_METHOD = "crm.timeline.comment.list"
NEWEST_FIRST = {"ID": "DESC"}


def comment_fields(
    delivery: Delivery, result: CallResult, status: Callable[[CallResult], CrmStatus]
) -> dict[str, object]:
    """The comment at the entity that the call stands at."""
    sent = orjson.loads(delivery.sent or "{}")
    finish = sent.get("finish", sent)
    code = status(result).code
    before = as_shown(finish.get("STATUS_CODE"), _words(finish.get("STATUS_CODE")), finish.get("DURATION"))
    after = as_shown(code, _words(code), talk_seconds(result))
    fields = {
        "ENTITY_TYPE": delivery.crm_ids.get("CRM_ENTITY_TYPE", "").lower(),
        "ENTITY_ID": delivery.crm_ids.get("CRM_ENTITY_ID", ""),
        "COMMENT": correction(delivery, before, after),
    }
    return {"fields": fields}


def _words(code: object) -> str:
    return STATUSES.get(str(code), "")


def without_request(sent: dict[str, Any]) -> Answer | None:
    """The answer that is known before anything is sent: there is nothing to tell, or nowhere to. None: send."""
    fields = sent["fields"]
    if not fields["COMMENT"]:
        return Succeeded(note="nothing that the CRM shows has changed")
    if not fields["ENTITY_TYPE"] or not fields["ENTITY_ID"]:
        return SkipCall("a later version came; the call stands at no client of the CRM, where it could be noted")
    return None


def comment_answer_of(ending: Ending, now: int) -> Answer:
    """The answer that the end of an add proves. A scope that only comments need must not stop the portal's calls."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document if isinstance(ending.document, dict) else {}
    if ending.status == 200 and isinstance(document.get("result"), int | str):
        return Succeeded({"comment": str(document["result"])})
    code = code_of(ending) if "error" in document else ""
    if ending.status < 500 and code in ("NOT_FOUND", "OWNER_NOT_FOUND"):
        return SkipCall("a later version came; the client that the call stands at is no longer in the CRM")
    if code in ("INSUFFICIENT_SCOPE", "ACCESS_DENIED"):
        return Refused(
            f"on_revision: note needs the scope crm, and the right to read the client ({error_text(ending)})"
        )
    if ending.status >= 500 and code not in LIMITS:
        return OutcomeUnknown(error_text(ending))
    return portal_problem(ending, now) or Refused(error_text(ending))


def list_fields(doubt: Intent) -> dict[str, object]:
    """The newest comments of the entity."""
    fields = orjson.loads(doubt.sent)["fields"]
    where = {"ENTITY_TYPE": fields["ENTITY_TYPE"], "ENTITY_ID": fields["ENTITY_ID"]}
    return {"filter": where, "order": NEWEST_FIRST, "select": ["ID", "COMMENT"]}


def comment_lookup_result(ending: Ending, delivery: Delivery, doubt: Intent, now: int) -> LookupResult:
    """Whether the comment stands among the newest 50 of its client."""
    if not isinstance(ending, Reply):
        return lookup_without_reply(ending)
    document = ending.document
    comments = document.get("result") if isinstance(document, dict) else None
    if ending.status == 200 and isinstance(comments, list):
        wanted = f"{note_marker(delivery, doubt.version, doubt.correction)})"
        ours = next((one for one in comments if isinstance(one, dict) and wanted in str(one.get("COMMENT"))), None)
        return CallFound({"comment": str(ours.get("ID"))}) if ours else NotFound()
    problem = portal_problem(ending, now)
    return problem if isinstance(problem, PortalBlocked | RetryLater) else RetryLater(error_text(ending))
