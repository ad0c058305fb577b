"""Every fault that a portal can have, as orders to the fake ones."""

from collections.abc import Mapping
from typing import Any

REQUEST_LIMIT_S = 1.0
SETTLE_S = 1.0
"""Seconds. The product's own are 60 and 30; everything here is to their scale."""

FaultOrder = Mapping[str, Any]
"""The fields of deploy.fake_crms.faults.Fault."""

NO_EFFECT: Mapping[str, FaultOrder] = {
    "500": {"mode": "500", "times": 2},
    "503": {"mode": "503", "times": 2},
    "503_retry_after": {"mode": "503", "retry_after": 1, "times": 1},
    "429": {"mode": "429", "retry_after": 1, "times": 2},
    "429_html": {"mode": "html", "status": 429, "times": 2},
    "401": {"mode": "401", "times": 1},
    "402": {"mode": "402", "times": 1},
    "403": {"mode": "403", "times": 1},
    "404": {"mode": "404", "times": 1},
    "no_auth": {"mode": "no_auth", "times": 1},
    "expired_token": {"mode": "expired_token", "times": 1},
    "invalid_credentials": {"mode": "invalid_credentials", "times": 1},
    "insufficient_scope": {"mode": "insufficient_scope", "times": 1},
    "wrong_auth_type": {"mode": "wrong_auth_type", "times": 1},
    "access_denied": {"mode": "access_denied", "times": 1},
    "user_access_error": {"mode": "user_access_error", "times": 1},
    "authorization_error": {"mode": "authorization_error", "times": 1},
    "unlisted_401": {"mode": "401", "code": "brand_new", "times": 1},
    "overload": {"mode": "overload", "times": 1},
    "payment_required": {"mode": "payment_required", "times": 1},
    "portal_deleted": {"mode": "portal_deleted", "times": 1},
    "reset": {"mode": "reset", "times": 2},
    "refuse": {"mode": "refuse", "seconds": 1.0, "times": 1},
    "hang": {"mode": "hang", "seconds": 3.0, "times": 2},
    "html": {"mode": "html", "times": 2},
    "html_403": {"mode": "html", "status": 403, "times": 1},
    "html_404": {"mode": "html", "status": 404, "times": 1},
    "html_500": {"mode": "html", "status": 500, "times": 2},
    "html_503": {"mode": "html", "status": 503, "times": 2},
    "gateway_json": {"mode": "gateway_json", "times": 2},
    "gateway_json_400": {"mode": "gateway_json", "status": 400, "times": 1},
    "garbage": {"mode": "garbage200", "effect": False, "times": 2},
    "empty": {"mode": "empty200", "effect": False, "times": 2},
    "moved": {"mode": "moved", "times": 2},
    "moved_301": {"mode": "moved", "status": 301, "times": 2},
    "moved_308": {"mode": "moved", "status": 308, "times": 2},
    "moved_away": {"mode": "moved", "location": "https://elsewhere.example", "times": 1},
}
"""The request has no effect, whatever it looks like."""

WITH_EFFECT: Mapping[str, FaultOrder] = {
    "500_done": {"mode": "500", "effect": True, "times": 1},
    "503_done": {"mode": "503", "effect": True, "times": 1},
    "lost_answer": {"mode": "lost_answer", "times": 2},
    "half_answer": {"mode": "half_answer", "times": 2},
    "half_head": {"mode": "half_head", "times": 2},
    "bad_chunks": {"mode": "bad_chunks", "times": 2},
    "garbage_done": {"mode": "garbage200", "times": 2},
    "empty_done": {"mode": "empty200", "times": 2},
    "html_500_done": {"mode": "html", "status": 500, "effect": True, "times": 2},
    "html_502_done": {"mode": "html", "effect": True, "times": 2},
    "html_504_done": {"mode": "html", "status": 504, "effect": True, "times": 2},
    "gateway_json_done": {"mode": "gateway_json", "effect": True, "times": 2},
    "gateway_json_400_done": {"mode": "gateway_json", "status": 400, "effect": True, "times": 1},
    "other_status": {"mode": "other_status", "times": 2},
    "slow": {"mode": "slow", "seconds": 0.5 * REQUEST_LIMIT_S, "times": 2},
    "slow_at_the_limit": {"mode": "slow", "seconds": REQUEST_LIMIT_S, "times": 2},
    "slow_beyond_the_limit": {"mode": "slow", "seconds": 1.5 * REQUEST_LIMIT_S, "times": 2},
    "late": {"mode": "late", "seconds": 0.8 * REQUEST_LIMIT_S, "times": 2},
    "late_lost": {"mode": "late_lost", "seconds": 0.8 * REQUEST_LIMIT_S, "times": 2},
    "late_beyond_the_limit": {"mode": "late", "seconds": REQUEST_LIMIT_S + 0.4 * SETTLE_S, "times": 2},
    "restart": {"mode": "restart", "seconds": 0.5, "times": 1},
    "duplicate": {"mode": "duplicate", "times": 2},
    "duplicate_later": {"mode": "duplicate_later", "seconds": 0.3, "times": 2},
}
"""The request has its effect, and the sender is not told so, or not in time."""

FAULTS = {**NO_EFFECT, **WITH_EFFECT}

SENT_TWICE = ("duplicate", "duplicate_later")
"""A proxy that sends a POST twice to a portal that does not compare makes two entries: no client can know."""
