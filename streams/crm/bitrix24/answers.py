"""Bitrix24: the answers to register, finish and the question about the client, by what they prove.

Facts: telephony.externalCall.register, .finish, .searchCrmEntities (apidocs.bitrix24.com); docs/crms.md.
"""

from typing import Any

from streams.crm.bitrix24.errors import (
    CALL_NOT_FOUND,
    LIMITS,
    USER_NOT_FOUND,
    USER_NOT_SET,
    code_of,
    error_text,
    own_error,
    portal_problem,
)
from streams.crm.shared.call_fields import NO_LEAD, RESPONSIBLE, user_ref
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import (
    Answer,
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
from streams.http.request import Ending, NothingSent, Reply, TooLate
from streams.settings import PortalSettings

IDS_OF_REGISTER = ("CALL_ID", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID", "CRM_CREATED_LEAD", NO_LEAD)
USER_OF_CALL = "PORTAL_USER_ID"
"""Among a delivery's ids: the user whom the portal gave the call to."""
IDS_OF_FINISH = ("CRM_ACTIVITY_ID", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID", USER_OF_CALL)


def answer_of(step: str, ending: Ending, now: int, sent: dict[str, object]) -> Answer:
    """The answer that the end of a register or finish proves. `sent`: its fields."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document
    result = document.get("result") if isinstance(document, dict) else None
    if ending.status == 200 and isinstance(result, dict):
        if step == "register" and not result.get("CALL_ID"):
            return OutcomeUnknown("200 without a CALL_ID")
        return Succeeded(ids_of(result, IDS_OF_REGISTER if step == "register" else IDS_OF_FINISH))
    problem = portal_problem(ending, now)
    if isinstance(problem, RetryLater) and ending.status >= 500 and step == "finish" and code_of(ending) not in LIMITS:
        # It may have finished the call, maybe with the outcome of an older version: only a lookup tells.
        return OutcomeUnknown(problem.why)
    return problem or _about_the_call(error_text(ending), sent)


def _about_the_call(words: str, sent: dict[str, object]) -> Answer:
    """The answer of an error that concerns this call alone."""
    inner = sent.get("USER_PHONE_INNER")
    said = words.lower()
    if CALL_NOT_FOUND in said:
        return PrerequisiteLost(words)
    if USER_NOT_FOUND in said:
        return UserUnknown(str(inner) if inner else user_ref(str(sent.get("USER_ID"))), words)
    if USER_NOT_SET in said and inner:
        return UserUnknown(str(inner), f"nobody has the inner number {inner} ({words})")
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
    missing = own_error(ending) and code_of(ending) == "ERROR_METHOD_NOT_FOUND"
    problem = None if missing else portal_problem(ending, now)
    if isinstance(problem, OutcomeUnknown):
        return RetryLater(problem.why)  # a question has no effect
    return problem or Succeeded(note=f"the client could not be looked up: {error_text(ending)}")


def ids_of(result: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """The named fields of an answer that hold something, as texts."""
    return {name: str(result[name]) for name in names if result.get(name) not in (None, "", [])}
