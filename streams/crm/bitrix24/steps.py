"""Bitrix24: a call result as the fields of register and finish, and its answers by what they prove.

Facts: telephony.externalcall.register, .finish, voximplant.statistic.get (apidocs.bitrix24.com); docs/crms.md.
"""

from collections.abc import Callable
from typing import Any

from streams.calls.result import CallResult
from streams.crm.bitrix24.kind import KIND
from streams.crm.shared.call_fields import (
    RESPONSIBLE,
    asks_responsible,
    external_id,
    outgoing,
    person_of,
    phone,
    talk_seconds,
    user_ref,
)
from streams.crm.shared.transport_answers import lookup_without_reply, without_reply
from streams.delivery.answers import (
    Answer,
    CallFound,
    LookupResult,
    NotFound,
    NotSent,
    OutcomeUnknown,
    PortalBlocked,
    PrerequisiteLost,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
)
from streams.delivery.record import Delivery
from streams.http.request import Ending, NothingSent, Reply, TooLate, as_time, local_iso
from streams.rules import CrmStatus
from streams.settings import PortalSettings

BOTH = "register_finish"
METHODS = {
    "client": "telephony.externalCall.searchCrmEntities",
    "register": "telephony.externalcall.register",
    "finish": "telephony.externalcall.finish",
    BOTH: "batch",
    "comment": "crm.timeline.comment.add",
}
CALL_ID_OF_REGISTER = "$result[register][CALL_ID]"
"""Inside a batch."""
LOOKUP_METHOD = "voximplant.statistic.get"

OUTGOING, INCOMING = 1, 2

IDS_OF_REGISTER = ("CALL_ID", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID", "CRM_CREATED_LEAD", "LEAD_CREATION_ERROR")
IDS_OF_FINISH = ("CRM_ACTIVITY_ID", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID")

PAUSING = {
    "NO_AUTH_FOUND": "the portal knows no such authorisation: check the webhook or the token",
    "EXPIRED_TOKEN": "the access token has expired",
    "INVALID_TOKEN": "the access token is not valid",
    "INVALID_GRANT": "the authorisation was withdrawn",
    "NOT_INSTALLED": "the application was removed from the portal",
    "INVALID_CREDENTIALS": "the incoming webhook's user or secret is wrong, or its user has too few rights",
    "ACCESS_DENIED": "the account may not use REST: it needs a commercial plan, or rights",
    "INSUFFICIENT_SCOPE": "the webhook or application lacks the scope telephony",
    "WRONG_AUTH_TYPE": "this portal takes calls from an application (OAuth) only, not from an incoming webhook",
    "ERROR_METHOD_NOT_FOUND": "the portal does not know telephony methods: check the address",
    "METHOD_CONFIRM_WAITING": "the method waits for an administrator's confirmation in the portal",
    "METHOD_CONFIRM_DENIED": "an administrator denied the method in the portal",
    "OVERLOAD_LIMIT": "the portal is blocked for overload: ask the vendor",
    "PAYMENT_REQUIRED": "the portal's licence has ended",
    "PORTAL_DELETED": "the portal was deleted",
    "NOT_FOUND": "the portal does not know the address: check it",
}
"""Errors that only a person can mend, by their code in upper case."""

LIMITS = ("QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT")

BY_STATUS = {401: "NO_AUTH_FOUND", 402: "PAYMENT_REQUIRED", 403: "ACCESS_DENIED", 404: "NOT_FOUND"}
"""Codes for answers whose `error` is empty, as live portals have it."""

BY_WORDS = (
    ("token provided has expired", "EXPIRED_TOKEN"),
    ("authorization type", "WRONG_AUTH_TYPE"),
    ("higher privileges", "INSUFFICIENT_SCOPE"),
    ("invalid request credentials", "INVALID_CREDENTIALS"),
    ("too many requests", "QUERY_LIMIT_EXCEEDED"),
    ("blocked", "OVERLOAD_LIMIT"),
    ("licen", "PAYMENT_REQUIRED"),
    ("deleted", "PORTAL_DELETED"),
)


def first_asked(delivery: Delivery, result: CallResult, portal: PortalSettings) -> bool:
    """Whether the portal is to be asked about the client before the call is registered."""
    if delivery.step not in ("register", BOTH) or "client" in delivery.steps_done:
        return False
    return portal.for_unknown_number == "skip" or asks_responsible(result, portal)


def fields_of(
    step: str, result: CallResult, delivery: Delivery, portal: PortalSettings, status: Callable[[CallResult], CrmStatus]
) -> tuple[dict[str, object], str]:
    """The fields of a step's request, and the extension that nobody was found for, if so.

    SHOW and ADD_TO_CHAT 0: a call of hours ago opens no card and fills no chat.
    """
    if step == "client":
        return {"PHONE_NUMBER": phone(result)}, ""
    person = person_of(result, portal, delivery)
    user: dict[str, object] = {"USER_PHONE_INNER": person.inner} if person.inner else {"USER_ID": person.user or ""}
    register = _register_fields(user, result, create=portal.for_unknown_number == "create_lead")
    match step:
        case "finish":
            return _finish_fields(user, result, delivery.crm_ids.get("CALL_ID", ""), status), person.no_user
        case "register_finish":
            both = {"register": register, "finish": _finish_fields(user, result, CALL_ID_OF_REGISTER, status)}
            return dict[str, object](both), person.no_user
    return register, person.no_user


def _finish_fields(
    user: dict[str, object], result: CallResult, call_id: str, status: Callable[[CallResult], CrmStatus]
) -> dict[str, object]:
    return {
        "CALL_ID": call_id,
        **user,
        "DURATION": talk_seconds(result),
        "STATUS_CODE": status(result).code,
        "ADD_TO_CHAT": 0,
    }


def _register_fields(user: dict[str, object], result: CallResult, *, create: bool) -> dict[str, object]:
    return {
        **user,
        "PHONE_NUMBER": phone(result),
        "TYPE": OUTGOING if outgoing(result) else INCOMING,
        "CALL_START_DATE": local_iso(result.started_at, result.utc_offset_seconds),
        "EXTERNAL_CALL_ID": external_id(result.call_id, KIND.longest_external_id),
        "CRM_CREATE": int(create),
        "SHOW": 0,
        "ADD_TO_CHAT": 0,
    }


def answer_of(step: str, ending: Ending, now: int, sent: dict[str, object]) -> Answer:
    """The answer that the end of a register or finish proves. `sent`: its fields."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document
    result = document.get("result") if isinstance(document, dict) else None
    if ending.status == 200 and isinstance(result, dict):
        if step == "register" and not result.get("CALL_ID"):
            return OutcomeUnknown("200 without a CALL_ID")
        return Succeeded(_ids(result, IDS_OF_REGISTER if step == "register" else IDS_OF_FINISH))
    problem = portal_problem(ending, now)
    if isinstance(problem, RetryLater) and ending.status >= 500 and step == "finish" and code_of(ending) not in LIMITS:
        # It may have finished the call, maybe with the outcome of an older version: only a lookup tells.
        return OutcomeUnknown(problem.why)
    if problem is not None:
        return problem
    words = error_text(ending)
    if "call is not found" in words.lower():
        return PrerequisiteLost(words)
    if "user is not found" in words.lower():
        inner = sent.get("USER_PHONE_INNER")
        return UserUnknown(str(inner) if inner else user_ref(str(sent.get("USER_ID"))), words)
    return Refused(words)


def client_lookup_result(ending: Ending, portal: PortalSettings, now: int) -> Answer:
    """The answer to the question about the client; where the portal cannot tell, the call goes on without that."""
    if isinstance(ending, TooLate):
        return NotSent()
    if not isinstance(ending, Reply):
        needs_a_person = isinstance(ending, NothingSent) and ending.needs_a_person
        return PortalBlocked(ending.why) if needs_a_person else RetryLater(ending.why, whole_portal=True)
    document = ending.document
    known = document.get("result") if isinstance(document, dict) else None
    if ending.status == 200 and isinstance(known, list):
        if not known and portal.for_unknown_number == "skip":
            return SkipCall("the CRM does not know this number (portals[].unknown_number: skip)")
        first = next((one for one in known if isinstance(one, dict)), {})
        user = str(first.get("ASSIGNED_BY_ID") or "")
        return Succeeded({RESPONSIBLE: user} if user else {})
    own = isinstance(document, dict) and ("error" in document or "error_description" in document)
    problem = portal_problem(ending, now) if not own or code_of(ending) != "ERROR_METHOD_NOT_FOUND" else None
    if isinstance(problem, OutcomeUnknown):
        return RetryLater(problem.why)  # a question has no effect
    return problem or Succeeded(note=f"the client could not be looked up: {error_text(ending)}")


def portal_problem(reply: Reply, now: int) -> RetryLater | PortalBlocked | OutcomeUnknown | None:
    """The problem of the portal that an answer without result tells; None: the error is about this call."""
    document = reply.document
    own = isinstance(document, dict) and ("error" in document or "error_description" in document)
    if reply.status == 429 or (own and code_of(reply) in LIMITS):
        reset = _reset_at(document, now) if reply.status == 429 else None
        return RetryLater("too many requests", reply.retry_after(now) or reset, whole_portal=True)
    if not own:
        return OutcomeUnknown(f"HTTP {reply.status} without an answer of Bitrix24's")
    code = code_of(reply)
    if code in PAUSING:
        return PortalBlocked(f"{PAUSING[code]} (HTTP {reply.status}: {error_text(reply)})")
    if reply.status >= 500:
        # Repeating is harmless: a second register is an orphan at worst, a second lookup nothing.
        return RetryLater(error_text(reply), reply.retry_after(now), whole_portal=True)
    if reply.status < 400:
        return OutcomeUnknown(f"HTTP {reply.status} with an error: {error_text(reply)}")
    return None


def token_outdated(ending: object) -> bool:
    """Whether the access token was not taken: expired, or replaced meanwhile (a refresh ends the older one at once)."""
    if not isinstance(ending, Reply) or ending.status != 401 or not isinstance(ending.document, dict):
        return False
    return code_of(ending) in ("EXPIRED_TOKEN", "INVALID_TOKEN", "NO_AUTH_FOUND")


def lookup_result(ending: Ending, call_id: str, now: int) -> LookupResult:
    """The call in the answer of a lookup. A filter that the portal did not understand must not find other calls."""
    if not isinstance(ending, Reply):
        return lookup_without_reply(ending)
    document = ending.document
    records = document.get("result") if isinstance(document, dict) else None
    if ending.status == 200 and isinstance(records, list):
        wanted = external_id(call_id, KIND.longest_external_id)
        ours = [one for one in records if isinstance(one, dict) and one.get("EXTERNAL_CALL_ID") == wanted]
        return CallFound(_ids(ours[0], ("CALL_ID", *IDS_OF_FINISH))) if ours else NotFound()
    problem = portal_problem(ending, now)
    if isinstance(problem, PortalBlocked | RetryLater):
        return problem
    return RetryLater(problem.why if problem else error_text(ending), whole_portal=problem is not None)


def _reset_at(document: object, now: int) -> int | None:
    """When the portal works again (`time.operating_reset_at`), by our clock: the portal's own may be wrong."""
    times = document.get("time") if isinstance(document, dict) else None
    if not isinstance(times, dict):
        return None
    reset, portals_now = as_time(times.get("operating_reset_at")), as_time(times.get("finish"))
    if reset is None or portals_now is None:
        return reset
    return now + max(0, reset - portals_now)


def code_of(reply: Reply) -> str:
    """The error's code in upper case, guessed from words and status where `error` is empty."""
    code = str(reply.document.get("error") or "").upper()
    if code:
        return code
    words = str(reply.document.get("error_description") or "").lower()
    return next((meant for part, meant in BY_WORDS if part in words), BY_STATUS.get(reply.status, ""))


def error_text(reply: Reply) -> str:
    """The error in Bitrix24's words."""
    document: Any = reply.document if isinstance(reply.document, dict) else {}
    parts = (str(document.get("error") or ""), str(document.get("error_description") or ""))
    return ": ".join(part for part in parts if part)[:500] or f"HTTP {reply.status}"


def _ids(result: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    return {name: str(result[name]) for name in names if result.get(name) not in (None, "", [])}
