"""Bitrix24's REST interface: its addresses, its errors, how it reads a request.

Sources: the vendor's pages (REST errors, limits, OAuth) and the official SDK's error table. Where they disagree
about an HTTP status (INVALID_CREDENTIALS, ACCESS_DENIED, OVERLOAD_LIMIT: older pages 403 and 503, a newer wording 401),
a fault's `status` gives the other; a fault's `code` stands for a code that no page lists.
"""

from __future__ import annotations

import json
import re
from typing import Any

from deploy.fake_crms.bitrix24.fields import TelephonyError
from deploy.fake_crms.exchange import Inbound, php_params

WEBHOOK = re.compile(r"^/rest/(?P<user>\d+)/(?P<secret>[^/]+)/(?P<method>[\w.]+?)(?:\.json)?/?$")
APPLICATION = re.compile(r"^/rest/(?P<method>[\w.]+?)(?:\.json)?/?$")
TOKEN_PATH = "/oauth/token/"
ERRORS: dict[str, tuple[int, str, str]] = {
    "500": (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
    "503": (503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
    "429": (429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit."),
    "400": (400, "ERROR_CORE", "The call cannot be taken"),
    "401": (401, "NO_AUTH_FOUND", "Wrong authorization data"),
    "402": (402, "PAYMENT_REQUIRED", "Subscription has been ended"),
    "403": (403, "ACCESS_DENIED", "Access denied!"),
    "404": (404, "ERROR_METHOD_NOT_FOUND", "Method not found!"),
    "no_auth": (401, "NO_AUTH_FOUND", "Wrong authorization data"),
    "expired_token": (401, "expired_token", "The access token provided has expired."),
    "overload": (503, "OVERLOAD_LIMIT", "REST API is blocked due to overload."),
    "payment_required": (401, "PAYMENT_REQUIRED", "Subscription has been ended"),
    "portal_deleted": (403, "PORTAL_DELETED", "Portal was deleted"),
    "invalid_credentials": (401, "INVALID_CREDENTIALS", "Invalid request credentials"),
    "insufficient_scope": (
        403,
        "insufficient_scope",
        "The request requires higher privileges than provided by the access token",
    ),
    "wrong_auth_type": (403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method"),
    "user_access_error": (401, "user_access_error", "The user does not have access to the application."),
    "authorization_error": (401, "authorization_error", "Unable to authorize user"),
    "access_denied": (403, "ACCESS_DENIED", "Access denied!"),
}


class RestError(Exception):
    """An answer of the REST layer itself; `mode` is a key of ERRORS."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.mode = mode


def upper(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters under their names in capitals."""
    return {name.upper(): value for name, value in params.items()}


def read_params(inbound: Inbound) -> dict[str, Any]:
    """Parameters of query and body, form or JSON, by their names in capitals; the body goes first. Raises
    TelephonyError if the body is not JSON although its header says so."""
    body: object = {}
    if inbound.body:
        text = inbound.body.decode(errors="replace")
        if "json" in inbound.headers.get("content-type", ""):
            try:
                body = json.loads(text)
            except ValueError:
                raise TelephonyError("Request body is not valid JSON", "INVALID_REQUEST") from None
        else:
            body = php_params(text)
    return upper({**php_params(inbound.query), **(body if isinstance(body, dict) else {})})
