"""Bitrix24's errors, whatever method was asked: those of the portal as a whole, and those about one call.

Facts: the pages `system errors` and `limits` of the vendor's documentation, the official SDKs' error tables; where
they disagree about the HTTP status of a code, the code decides (docs/crms.md).
"""

import re
from collections.abc import Mapping
from typing import Any

from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.http.request import Reply, as_time

PAUSING: Mapping[str, str] = {
    "NO_AUTH_FOUND": "the portal knows no such authorisation: check the webhook or the token",
    "EXPIRED_TOKEN": "the access token has expired",
    "INVALID_TOKEN": "the access token is not valid",
    "INVALID_GRANT": "the authorisation was withdrawn",
    "NOT_INSTALLED": "the application was removed from the portal",
    "INVALID_CREDENTIALS": "the incoming webhook's user or secret is wrong, or its user has too few rights",
    "ACCESS_DENIED": "the account may not use REST: it needs a commercial plan, or rights",
    "INSUFFICIENT_SCOPE": "the webhook or application lacks the scope telephony",
    "WRONG_AUTH_TYPE": "this portal takes calls from an application (OAuth) only, not from an incoming webhook",
    "USER_ACCESS_ERROR": "an administrator narrowed who may use the application: give its owner access to it again "
    "(Applications, the application, Access rights)",
    "AUTHORIZATION_ERROR": "the person who authorised was dismissed or locked: authorise again as somebody else, or "
    "make the webhook anew in the name of somebody else",
    "APPLICATION_NOT_FOUND": "the portal does not know the application: install it again, then authorise again",
    "ERROR_OAUTH": "the portal cannot check the application's authorisation: install it again, then authorise again",
    "ACCESS_ERROR": "the owner of the webhook or application lacks rights: an administrator must give them",
    "ALLOWED_ONLY_INTRANET_USER": "the owner of the webhook or application is no employee of the portal: use one",
    "INVALID_REQUEST": "the portal takes requests by https only: check its address",
    "ERROR_METHOD_NOT_FOUND": "the portal does not know telephony methods: check the address",
    "METHOD_CONFIRM_WAITING": "the method waits for an administrator's confirmation in the portal",
    "METHOD_CONFIRM_DENIED": "an administrator denied the method in the portal",
    "OVERLOAD_LIMIT": "the portal is blocked for overload: ask the vendor",
    "PAYMENT_REQUIRED": "the portal's licence has ended",
    "PORTAL_DELETED": "the portal was deleted",
    "NOT_FOUND": "the portal does not know the address: check it",
}
"""Errors that only a person can mend, by their code in upper case."""

OPERATION_LIMIT = "OPERATION_TIME_LIMIT"
LIMITS = ("QUERY_LIMIT_EXCEEDED", OPERATION_LIMIT)

BY_STATUS = {401: "NO_AUTH_FOUND", 402: "PAYMENT_REQUIRED", 403: "ACCESS_DENIED", 404: "NOT_FOUND"}
"""Codes for answers whose `error` is empty, as live portals have it."""

BY_WORDS = (
    ("token provided has expired", "EXPIRED_TOKEN"),
    ("authorization type", "WRONG_AUTH_TYPE"),
    ("higher privileges", "INSUFFICIENT_SCOPE"),
    ("invalid request credentials", "INVALID_CREDENTIALS"),
    ("does not have access to the application", "USER_ACCESS_ERROR"),
    ("unable to authorize user", "AUTHORIZATION_ERROR"),
    ("too many requests", "QUERY_LIMIT_EXCEEDED"),
    ("operation time limit", OPERATION_LIMIT),
    ("blocked", "OVERLOAD_LIMIT"),
    ("licen", "PAYMENT_REQUIRED"),
    ("deleted", "PORTAL_DELETED"),
)

CALL_NOT_FOUND = "call is not found"
USER_NOT_FOUND = "user is not found"
USER_NOT_SET = "user_id or user_phone_inner should be set"
"""Also the answer to an inner number that nobody has: USER_ID then stays empty (seen in the product's source)."""
ABOUT_ONE_CALL = (CALL_NOT_FOUND, USER_NOT_FOUND, USER_NOT_SET, "phone number format", "unknown type", "iso-8601")
"""Documented remarks about a call, in small letters: under whatever status they come, they stop no other call."""

_AUTHORISATION = re.compile(r"AUTH|ACCESS|DENIED|FORBIDDEN|SCOPE|TOKEN|CREDENTIAL|PAYMENT|LICEN|APPLICATION|INTRANET")
"""What a refused authorisation's codes are made of, and its words under a code that nobody knows."""
_ABOUT_CALLS = ("", "ERROR_CORE", "INVALID_ARGUMENT", "ERROR_ARGUMENT")
"""Codes of remarks about a call, whatever their words are."""


def portal_problem(reply: Reply, now: int) -> RetryLater | PortalBlocked | OutcomeUnknown | None:
    """The problem of the portal that an answer without result tells; None: the error is about this call."""
    own = own_error(reply)
    if reply.status == 429 or (own and code_of(reply) in LIMITS):
        reset = _reset_at(reply.document, now) if reply.status == 429 else None
        # The seconds of work are limited by method: lookups go on while no call can be finished.
        whole = not (own and code_of(reply) == OPERATION_LIMIT)
        return RetryLater("too many requests", reply.retry_after(now) or reset, whole_portal=whole)
    if not own:
        if reply.status in BY_STATUS:
            return PortalBlocked(
                f"the address answers HTTP {reply.status}, and not in Bitrix24's own form: check portals[].url, and "
                "what stands between (a proxy, a firewall)"
            )
        return OutcomeUnknown(f"HTTP {reply.status} without an answer of Bitrix24's")
    code = code_of(reply)
    if code in PAUSING:
        return PortalBlocked(f"{PAUSING[code]} (HTTP {reply.status}: {error_text(reply)})")
    if reply.status >= 500:
        # Repeating is harmless: a second register is an orphan at worst, a second lookup nothing.
        return RetryLater(error_text(reply), reply.retry_after(now), whole_portal=True)
    if reply.status < 400:
        return OutcomeUnknown(f"HTTP {reply.status} with an error: {error_text(reply)}")
    return _refused_authorisation(reply, code)


def _refused_authorisation(reply: Reply, code: str) -> PortalBlocked | None:
    """The pause for an authorisation that is refused by a code that nobody listed; a batch's commands have no status of
    their own."""
    words = error_text(reply).lower()
    if any(each in words for each in ABOUT_ONE_CALL):
        return None
    told = code if code in _ABOUT_CALLS else f"{code} {words.upper()}"
    if reply.status in (401, 402, 403) or _AUTHORISATION.search(told):
        return PortalBlocked(
            f"the portal refuses the authorisation (HTTP {reply.status}: {error_text(reply)}): an administrator of the "
            "portal must see to the application or webhook, its owner and their rights; then authorise again"
        )
    return None


def own_error(reply: Reply) -> bool:
    """Whether an error is in Bitrix24's own form."""
    return isinstance(reply.document, dict) and ("error" in reply.document or "error_description" in reply.document)


def token_outdated(ending: object) -> bool:
    """Whether the access token was not taken: expired, or replaced meanwhile (a refresh ends the older one at once)."""
    if not isinstance(ending, Reply) or ending.status != 401 or not isinstance(ending.document, dict):
        return False
    return code_of(ending) in ("EXPIRED_TOKEN", "INVALID_TOKEN", "NO_AUTH_FOUND")


def code_of(reply: Reply) -> str:
    """The error's code in upper case, guessed from words and status where `error` is empty."""
    code = str(reply.document.get("error") or "").upper()
    if code:
        return code
    words = str(reply.document.get("error_description") or "").lower()
    if any(each in words for each in ABOUT_ONE_CALL):
        return ""
    return next((meant for part, meant in BY_WORDS if part in words), BY_STATUS.get(reply.status, ""))


def error_text(reply: Reply) -> str:
    """The error in Bitrix24's words."""
    document: Any = reply.document if isinstance(reply.document, dict) else {}
    parts = (str(document.get("error") or ""), str(document.get("error_description") or ""))
    return ": ".join(part for part in parts if part)[:500] or f"HTTP {reply.status}"


def _reset_at(document: object, now: int) -> int | None:
    """When the portal works again (`time.operating_reset_at`), by our clock: the portal's own may be wrong."""
    times = document.get("time") if isinstance(document, dict) else None
    return reset_of(times, now)


def reset_of(times: object, now: int) -> int | None:
    """`operating_reset_at` of an answer's `time`, by our clock; None where it is not there."""
    if not isinstance(times, dict):
        return None
    reset, portals_now = as_time(times.get("operating_reset_at")), as_time(times.get("finish"))
    if reset is None or portals_now is None:
        return reset
    return now + max(0, reset - portals_now)
