"""Kommo's calls: POST /api/v4/calls adds finished calls, each as a note of a contact.

Source: developers.kommo.com (add calls, error bodies, 2026).
"""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.exchange import Answer
from deploy.fake_crms.kommo.requests import problem, read_json, request_id, validation_errors
from deploy.fake_crms.kommo.state import ACCOUNT_ID, Request

NOT_FOUND = {"status": 263, "title": "Entity not found", "detail": "Entity not found"}


def add(request: Request) -> Answer:
    """Add calls; with `strict_contacts` a call of a phone that no contact has is refused, the others are added."""
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items:
        return problem(400, "Request validation failed: an array of calls is expected")
    wrong = [(request_id(item, at), validation_errors(item, request.config.users)) for at, item in enumerate(items)]
    refused = [{"request_id": name, "errors": errors} for name, errors in wrong if errors]
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    added: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for at, item in enumerate(items):
        contact = _contact(request, item["phone"])
        if contact is None:
            errors.append({**NOT_FOUND, "request_id": request_id(item, at)})
            continue
        note = request.account.add_call(item, contact, request.now())
        ids = {"id": note["id"], "entity_id": contact, "entity_type": "contact", "account_id": ACCOUNT_ID}
        added.append({**ids, "request_id": request_id(item, at)})
    body = {"_total_items": len(added), "errors": errors, "_embedded": {"calls": added}}
    return Answer(200 if added else 400, body)


def _contact(request: Request, phone: str) -> int | None:
    known = request.account.contact_for(phone)
    if known is None and not request.config.strict_contacts:
        return request.account.add_contact(phone, [phone], request.now())
    return known
