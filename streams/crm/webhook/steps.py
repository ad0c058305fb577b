"""Webhook: a call result as the body of a Standard Webhooks request, and the receiver's answers by what they prove.

Facts: the Standard Webhooks specification 1.0.0 (payload structure, webhook headers, deliverability).
"""

from hashlib import sha256

import orjson

from streams.calls.json_form import json_fields
from streams.calls.result import CallResult
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import Answer, OutcomeUnknown, PortalBlocked, Refused, RetryLater, Succeeded
from streams.http.request import Ending, Reply

EVENT = "call.finished"
MESSAGE_ID = "webhook-id"
"""The header by which a receiver tells repeated calls; also its name among a delivery's `crm_ids`."""
SCHEMA_VERSION = 1
"""The version of `data`. It rises when a field goes or changes its meaning, not when one is added."""

LONGEST_WORDS = 200
"""Characters of the receiver's own words that are kept."""

PAUSING = {
    401: "it does not accept the signature: is portals[].secret the one that it knows?",
    402: "it wants to be paid",
    403: "it refuses requests from here",
    404: "there is no receiver at this address",
    405: "it takes no POST at this address",
    407: "a proxy before it wants credentials",
    415: "it takes no JSON",
    421: "it is not responsible for this host name",
    451: "it may not take them for legal reasons",
}
"""Statuses that say that something is wrong with the receiver as a whole, which a person must mend."""

AGAIN = {
    408: "it says that the request took too long",
    409: "it says that the request conflicts with another one",
    423: "it is locked",
    425: "too early",
}
"""Nothing happened, and the same request may do later."""


def message_id(call_id: str, version: int, correction: int = 0) -> str:
    """The `webhook-id` of a version: the same for every try of it, another for another version or correction.

    Without a full stop, which separates what is signed.
    """
    named = f"{call_id} {version} {correction}" if correction else f"{call_id} {version}"
    return f"msg_{sha256(named.encode()).hexdigest()[:32]}"


def body_of(result: CallResult) -> str:
    """The body as JSON, always the same of the same result. `data`: the Avro record's fields, times as ISO 8601."""
    fields = json_fields(result)
    body = {"type": EVENT, "timestamp": fields["ended_at"], "schema_version": SCHEMA_VERSION, "data": fields}
    return orjson.dumps(body).decode()


def answer_of(ending: Ending, message: str, now: int) -> Answer:
    """The answer that the end of a request proves.

    Only 2xx is success; what the body says is nobody's business but a person's.
    """
    if not isinstance(ending, Reply):
        return without_reply(ending)
    status, words = ending.status, _words(ending)
    if 200 <= status < 300:
        return Succeeded({MESSAGE_ID: message})
    if 300 <= status < 400:
        return PortalBlocked(
            f"its address leads elsewhere (HTTP {status}), and redirects are not followed: set the new address"
        )
    if status == 410:
        return PortalBlocked(f"it wants no more calls ({words})", for_good=True)
    if status in PAUSING:
        return PortalBlocked(f"{PAUSING[status]} ({words})")
    if status == 429:
        return RetryLater("too many requests", ending.retry_after(now), whole_portal=True)
    if status in AGAIN:
        return RetryLater(f"{AGAIN[status]} ({words})", ending.retry_after(now))
    if status >= 500:
        # It may have been taken before the error, or behind the proxy that says so.
        return OutcomeUnknown(words, ending.retry_after(now))
    return Refused(words)


def _words(reply: Reply) -> str:
    text = " ".join(reply.body[: 4 * LONGEST_WORDS].decode(errors="replace").split())[:LONGEST_WORDS]
    return f"HTTP {reply.status}: {text}" if text and text.isprintable() else f"HTTP {reply.status}"
