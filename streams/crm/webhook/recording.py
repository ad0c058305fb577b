"""Webhook: a call's recording as an event of its own, `call.recording`, under a `webhook-id` of its own.

Not a field of the call's event: that never waits for a recording, and its body is always the same bytes.
"""

from hashlib import sha256
from typing import Any

import orjson

from streams.calls.json_form import json_fields
from streams.calls.result import CallResult
from streams.crm.shared.recording import NAME, URL
from streams.crm.webhook.steps import SCHEMA_VERSION
from streams.delivery.answers import Answer, Refused
from streams.delivery.record import Delivery

EVENT = "call.recording"


def recording_message_id(call_id: str) -> str:
    """The `webhook-id`: one for a call's recording."""
    return f"msg_{sha256(f'{call_id} recording'.encode()).hexdigest()[:32]}"


def recording_body(delivery: Delivery, result: CallResult) -> str:
    """The body as JSON: whose recording it is, and where."""
    data: dict[str, Any] = {
        "call_id": result.call_id,
        "pbx": result.pbx,
        "linkedid": result.linkedid,
        "recording_url": delivery.crm_ids.get(URL, ""),
        "recording_name": delivery.crm_ids.get(NAME, ""),
    }
    body = {"type": EVENT, "timestamp": json_fields(result)["ended_at"], "schema_version": SCHEMA_VERSION, "data": data}
    return orjson.dumps(body).decode()


def without_request(sent: str) -> Answer | None:
    """The answer that is known before anything is sent; None: send."""
    if not orjson.loads(sent)["data"]["recording_url"]:
        return Refused("a receiver gets the address of a recording only: set recordings[].link or address")
    return None
