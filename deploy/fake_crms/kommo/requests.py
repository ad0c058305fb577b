"""Kommo's interface: its addresses, its errors, how it reads and checks a request."""

from __future__ import annotations

import json
from typing import Any

from deploy.fake_crms.exchange import PROBLEM_JSON, Answer, Inbound
from deploy.fake_crms.kommo.config import KommoConfig
from deploy.fake_crms.kommo.state import DIRECTIONS, STATUS_WORDS
from deploy.fake_crms.phones import last_digits

MAX_PAGE = 250
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
ERRORS: dict[str, tuple[int, str]] = {
    "500": (500, "An unknown error occurred."),
    "503": (503, "Service is temporarily unavailable."),
    "429": (429, "Too many requests"),
    "400": (400, "Request validation failed"),
    "401": (401, "Unauthorized"),
    "402": (402, "The account is not paid"),
    "403": (403, "Access denied"),
    "404": (404, "Page not found"),
    "no_auth": (401, "Unauthorized"),
    "expired_token": (401, "Token has expired"),
    "invalid_credentials": (401, "Unauthorized"),
    "wrong_auth_type": (401, "Unauthorized"),
    "insufficient_scope": (403, "The integration has no access to this method"),
    "access_denied": (403, "Access denied"),
    "user_access_error": (403, "Access denied"),
    "authorization_error": (401, "Unauthorized"),
    "overload": (503, "Service is temporarily unavailable."),
    "payment_required": (402, "The account is not paid"),
    "portal_deleted": (404, "Account not found"),
}
BLOCKED_PAGE = (
    b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
"""The answer to every request of an address that is blocked, token requests included (amocrm-api-php issue 434)."""

OPERATIONS = {
    ("POST", "/api/v4/calls"): "calls",
    ("POST", "/api/v4/contacts"): "contacts",
    ("GET", "/api/v4/contacts"): "contacts",
    ("GET", "/api/v4/companies"): "companies",
    ("POST", "/api/v4/leads/complex"): "leads",
    ("POST", "/api/v4/leads/unsorted/sip"): "unsorted",
    ("GET", "/api/v4/leads/unsorted"): "unsorted",
    ("GET", "/api/v4/users"): "users",
    ("GET", "/api/v4/leads/pipelines"): "pipelines",
    ("GET", "/api/v4/account"): "account",
    ("POST", "/oauth2/access_token"): "token",
}

_TEXT, _INTEGER = "string", "int"
# Field of POST /api/v4/calls -> type; the first four are required.
CALL_FIELDS = {
    "direction": _TEXT,
    "duration": _INTEGER,
    "source": _TEXT,
    "phone": _TEXT,
    "uniq": _TEXT,
    "link": _TEXT,
    "call_result": _TEXT,
    "call_status": _INTEGER,
    "responsible_user_id": _INTEGER,
    "created_by": _INTEGER,
    "updated_by": _INTEGER,
    "created_at": _INTEGER,
    "updated_at": _INTEGER,
    "request_id": _TEXT,
    "call_responsible": "string|int",
}
REQUIRED = ("direction", "duration", "source", "phone")
USER_FIELDS = ("responsible_user_id", "created_by", "updated_by", "call_responsible")


def problem(status: int, detail: str, **more: Any) -> Answer:
    """An error as Kommo words it (RFC 7807)."""
    body = {
        **more,
        "title": TITLES[status],
        "type": f"https://httpstatus.es/{status}",
        "status": status,
        "detail": detail,
    }
    return Answer(status, body, PROBLEM_JSON)


def read_json(inbound: Inbound) -> object:
    """The body of a request; None if it is not JSON."""
    try:
        return json.loads(inbound.body)
    except ValueError:
        return None


def request_id(item: object, at: int) -> str:
    """The sender's request_id of an item, else its position `at` in the array."""
    return str(item.get("request_id", at)) if isinstance(item, dict) else str(at)


def phones_of(contact: dict[str, Any]) -> list[str]:
    """The phones among the custom fields of a contact."""
    fields = [field for field in contact.get("custom_fields_values") or [] if field.get("field_code") == "PHONE"]
    return [str(value["value"]) for field in fields for value in field.get("values") or [] if value.get("value")]


def sip_errors(item: object) -> list[dict[str, str]]:
    """What is wrong with one incoming lead of type sip: `code`, `path`, `detail` each."""
    if not isinstance(item, dict):
        return [{"code": "InvalidType", "path": "", "detail": "This value should be of type array."}]
    missing = [name for name in ("source_name", "source_uid", "metadata") if not item.get(name)]
    meta: dict[str, Any] = item["metadata"] if isinstance(item.get("metadata"), dict) else {}
    needed: dict[str, Any] = {"phone": (str, int), "called_at": int, "duration": int, "link": str, "service_code": str}
    wrong = [f"metadata.{name}" for name, kind in needed.items() if not isinstance(meta.get(name), kind)]
    optional: dict[str, Any] = {"from": str, "call_responsible": (str, int), "uniq": str, "is_call_event_needed": bool}
    wrong += [
        f"metadata.{name}" for name, kind in optional.items() if name in meta and not isinstance(meta[name], kind)
    ]
    return [{"code": "FieldMissing", "path": path, "detail": "This field is missing."} for path in missing + wrong]


def paged(url: str, inbound: Inbound, query: dict[str, Any], name: str, found: list[dict[str, Any]]) -> Answer:
    """The page of a list that `page` and `limit` ask for, with a link to the next one; 204 if it is empty."""
    page, limit = max(1, int(query.get("page", 1))), min(MAX_PAGE, int(query.get("limit", 50)))
    shown = found[(page - 1) * limit : page * limit]
    if not shown:
        return Answer(204)
    others = "&".join(part for part in inbound.query.split("&") if part and not part.startswith("page="))
    links = {"self": {"href": f"{url}{inbound.path}?{inbound.query}"}}
    if page * limit < len(found):
        links["next"] = {"href": f"{url}{inbound.path}?{others}{'&' if others else ''}page={page + 1}"}
    return Answer(200, {"_page": page, "_links": links, "_embedded": {name: shown}})


def branch(query: dict[str, Any], name: str) -> dict[str, Any]:
    """A nested part of the query, as filter[..]=.."""
    inner = query.get(name)
    return inner if isinstance(inner, dict) else {}


def named(wanted: dict[str, Any], name: str) -> set[str] | None:
    """What a filter names, one value or an array, as texts; None: it does not ask for this."""
    among = wanted.get(name)
    return None if among is None else {str(one) for one in (among if isinstance(among, list) else [among])}


def note_fits(note: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a note is what the filter `wanted` asks for by note_type, id and updated_at."""
    for name in ("note_type", "id"):
        if (among := named(wanted, name)) is not None and str(note[name]) not in among:
            return False
    changed = wanted.get("updated_at")
    if isinstance(changed, dict):
        return int(changed.get("from", 0)) <= int(note["updated_at"]) <= int(changed.get("to", 2**40))
    return changed is None or int(note["updated_at"]) >= int(changed)


def validation_errors(item: object, config: KommoConfig) -> list[dict[str, str]]:
    """What is wrong with one call: `code`, `path`, `detail` each. null is a wrong type, not an absent field.

    Ours, not the vendor's: that an unknown field and a duration below 0 are refused.
    """
    if not isinstance(item, dict):
        return [_wrong("InvalidType", "", "This value should be of type array.")]
    errors = [_wrong("FieldMissing", name, "This field is missing.") for name in REQUIRED if name not in item]
    for name, value in item.items():
        kind = CALL_FIELDS.get(name)
        if kind is None:
            errors.append(_wrong("NotExpectedField", name, "This field was not expected."))
        elif not _is_of(kind, value, name):
            errors.append(_wrong("InvalidType", name, f"This value should be of type {kind}."))
    if errors:
        return errors
    if item["direction"] not in DIRECTIONS:
        errors.append(_wrong("NotSupportedChoice", "direction", "The value you selected is not a valid choice."))
    if "call_status" in item and item["call_status"] not in STATUS_WORDS:
        errors.append(_wrong("NotSupportedChoice", "call_status", "The value you selected is not a valid choice."))
    errors += [
        _wrong("NotSupportedChoice", name, "The value you selected is not a valid choice.")
        for name in USER_FIELDS
        if name in item and not _may_name(name, item[name], config)
    ]
    if item["duration"] < 0:
        errors.append(_wrong("TooLow", "duration", "This value should be 0 or more."))
    if not last_digits(item["phone"]):
        errors.append(_wrong("IsBlank", "phone", "This value should not be blank."))
    return errors


def _may_name(field: str, user: object, config: KommoConfig) -> bool:
    """Whether the token's owner may name this user there: an active one (amocrm-api-php issues 170, 220).

    Ours, not the vendor's: that who is no administrator names only himself as the one who made the call
    (`others_as_maker`). No document says whether it is so.
    """
    if isinstance(user, str):  # call_responsible may be a name
        return True
    if user not in {one.id for one in config.users if one.active}:
        return False
    if field == "responsible_user_id" or user == config.users[0].id:
        return True
    allowed = {"administrators": config.owner_is_admin, "nobody": False}
    return allowed.get(config.others_as_maker, True)


def _wrong(code: str, path: str, detail: str) -> dict[str, str]:
    return {"code": code, "path": path, "detail": detail}


def _is_of(kind: str, value: object, name: str) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return "int" in kind or name == "request_id"
    return isinstance(value, str) and "string" in kind
