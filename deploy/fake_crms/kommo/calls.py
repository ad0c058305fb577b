"""Kommo's calls: POST /api/v4/calls adds finished calls, each as a note of a contact or customer.

Source: developers.kommo.com (add calls, error bodies, 2026).
"""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.exchange import Answer
from deploy.fake_crms.kommo.requests import problem, read_json, request_id, validation_errors
from deploy.fake_crms.kommo.state import ACCOUNT_ID, Request

NOT_FOUND = {"status": 263, "title": "Entity not found", "detail": "Entity not found"}


def add(request: Request) -> Answer:
    """Add calls: one of a phone that nobody has is refused (amocrm-api-php issue 52), the others are added."""
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items:
        return problem(400, "Request validation failed: an array of calls is expected")
    wrong = [(request_id(item, at), validation_errors(item, request.config)) for at, item in enumerate(items)]
    refused = [{"request_id": name, "errors": errors} for name, errors in wrong if errors]
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    added: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for at, item in enumerate(items):
        client = _client(request, item["phone"])
        if client is None:
            errors.append({**NOT_FOUND, "request_id": request_id(item, at)})
            continue
        kind, entity = client
        note = request.account.add_call(_as_kept(item, request), entity, request.now(), entity=kind)
        ids = {"id": note["id"], "entity_id": entity, "entity_type": kind, "account_id": ACCOUNT_ID}
        added.append({**ids, "request_id": request_id(item, at)})
    body = {"_total_items": len(added), "errors": errors, "_embedded": {"calls": added}}
    return Answer(200 if added else 400, body)


def _as_kept(item: dict[str, Any], request: Request) -> dict[str, Any]:
    """The call as the account keeps it."""
    if request.config.others_as_maker == "replaced" and "created_by" in item:
        return {**item, "created_by": request.config.users[0].id}
    return item


def _client(request: Request, phone: str) -> tuple[str, int] | None:
    """The entity that the call stands at: its type and id. Ours, not the vendor's: a customer goes before a company,
    that before a contact; the vendor documents no order."""
    if request.config.customers and (customer := request.account.customer_for(phone)) is not None:
        return "customer", customer
    if (company := request.account.company_for(phone)) is not None:
        return "company", company
    contact = request.account.contact_for(phone)
    if contact is None and request.config.known_clients:
        contact = request.account.add_contact(phone, [phone], request.now())
    return None if contact is None else ("contact", contact)
