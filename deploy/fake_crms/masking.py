"""Mask secrets in the request log."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from deploy.fake_crms.exchange import Inbound

MASK = "***"
_SECRET = frozenset({"auth", "access_token", "refresh_token", "client_secret", "code"})
_WEBHOOK = re.compile(r"^(/rest/(?:api/)?)(\d+)/[^/]+/")


def masked_path(path: str) -> str:
    """The path without the secret of an incoming webhook."""
    return _WEBHOOK.sub(rf"\g<1>\g<2>/{MASK}/", path)


def masked(value: Any) -> Any:
    """A parsed request without its secrets."""
    if isinstance(value, dict):
        return {key: MASK if str(key).lower() in _SECRET else masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def masked_body(inbound: Inbound) -> Any:
    """Query and body of a request as they can be shown."""
    query = dict(parse_qsl(inbound.query, keep_blank_values=True))
    body: Any
    try:
        body = json.loads(inbound.body) if inbound.body else {}
    except ValueError:
        body = dict(parse_qsl(inbound.body.decode(errors="replace"), keep_blank_values=True))
    if not query:
        return masked(body)
    return masked({"query": query, "body": body}) if body else masked(query)
