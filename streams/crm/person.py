"""Which person of the CRM a call belongs to, and the numbers and names that both CRMs want in the same way."""

from collections.abc import Mapping
from hashlib import sha256

from streams.calls.result import CallResult

LONGEST_EXTERNAL_ID = 64
"""Characters that Bitrix24 keeps of EXTERNAL_CALL_ID (seen in its source)."""


def external_id(call_id: str) -> str:
    """What the CRM knows our call by: the call id, or a hash of it where that is too long."""
    if len(call_id) <= LONGEST_EXTERNAL_ID:
        return call_id
    return f"cel2crm-{sha256(call_id.encode()).hexdigest()[:48]}"


def responsible(result: CallResult, users: Mapping[str, str], default: str | None, missed: str) -> str | None:
    """CRM user id: who talked; for a missed call as `missed_call_user` says; else the default."""
    if result.answered or result.direction == "outgoing":
        candidates = [result.extension, result.answered_by]
    elif missed == "default":
        candidates = []
    else:
        candidates = [result.rang_last, result.extension]
    return next((users[extension] for extension in candidates if extension and extension in users), default)


def phone(result: CallResult) -> str:
    """The other party's number; of an internal call, the called one's."""
    return result.client or result.called or ""


def talk_seconds(result: CallResult) -> int:
    """Whole seconds; 0 of an unanswered call, at least 1 of an answered one: both CRMs tell success by it."""
    return max(1, round(result.talk_seconds or 0)) if result.answered else 0


def outgoing(result: CallResult) -> bool:
    """From the inside to the outside; a call of unknown direction by who began it."""
    if result.direction in ("incoming", "outgoing"):
        return result.direction == "outgoing"
    return result.caller is not None and result.caller == result.extension
