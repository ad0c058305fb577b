"""Kommo's contacts, companies and leads: what a call of an unknown number can become.

Source: developers.kommo.com (contacts, companies, complex leads, 2026).
"""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.exchange import Answer, php_params
from deploy.fake_crms.journal import Event
from deploy.fake_crms.kommo.requests import paged, phones_of, problem, read_json, request_id
from deploy.fake_crms.kommo.state import ACCOUNT_ID, PIPELINE_ID, Request
from deploy.fake_crms.phones import last_digits


def add_contacts(request: Request) -> Answer:
    """Add contacts: POST /api/v4/contacts."""
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of contacts is expected")
    added = []
    for at, item in enumerate(items):
        contact = _contact(request, item)
        added.append({"id": contact, "is_deleted": False, "request_id": request_id(item, at)})
    return Answer(200, {"_links": {}, "_embedded": {"contacts": added}})


def _contact(request: Request, item: dict[str, Any]) -> int:
    name = item.get("name") or " ".join(str(item.get(part) or "") for part in ("first_name", "last_name")).strip()
    responsible = item.get("responsible_user_id")
    return request.account.add_contact(str(name), phones_of(item), request.now(), responsible)


def find_contacts(request: Request) -> Answer:
    """Find contacts by name or phone: GET /api/v4/contacts?query=."""
    return _find(request, "contacts", list(request.account.contacts.values()))


def find_companies(request: Request) -> Answer:
    """Find companies by name or phone: GET /api/v4/companies?query=."""
    return _find(request, "companies", request.account.clients_of("company"))


def _find(request: Request, kind: str, among: list[Event]) -> Answer:
    query = php_params(request.inbound.query)
    wanted = str(query.get("query", ""))
    digits, digits_of, indexed = last_digits(wanted), request.account.digits_of, request.indexed_until()
    found = [
        _contact_json(contact, request, with_leads="leads" in str(query.get("with", "")))
        for contact in among
        if contact["at"] <= indexed
        and (not wanted or wanted in contact["name"] or (digits and digits in digits_of[contact["id"]]))
    ]
    return paged(request.url, request.inbound, query, kind, found)


def _contact_json(contact: dict[str, Any], request: Request, *, with_leads: bool = False) -> dict[str, Any]:
    values = [{"value": phone, "enum_id": 1, "enum_code": "WORK"} for phone in contact["phones"]]
    phones = {"field_id": 1, "field_name": "Phone", "field_code": "PHONE", "field_type": "multitext", "values": values}
    leads = [{"id": lead["id"]} for lead in request.account.leads if lead.get("contact") == contact["id"]]
    return {
        "_embedded": {"tags": [], "companies": [], **({"leads": leads} if with_leads else {})},
        "id": contact["id"],
        "name": contact["name"],
        "responsible_user_id": contact.get("responsible") or request.config.users[0].id,
        "created_at": int(contact["at"]),
        "updated_at": int(contact["at"]),
        "custom_fields_values": [phones] if values else None,
        "account_id": ACCOUNT_ID,
    }


def add_leads(request: Request) -> Answer:
    """Add leads, each together with its contact: POST /api/v4/leads/complex."""
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of leads is expected")
    if (wrong := wrong_pipelines(items)) is not None:
        return wrong
    added = []
    for at, item in enumerate(items):
        contacts = (item.get("_embedded") or {}).get("contacts") or []
        contact = _contact(request, contacts[0]) if contacts else None
        lead = request.account.add_lead(str(item.get("name") or ""), contact, request.now())
        ids = {"id": lead, "contact_id": contact, "company_id": None}
        added.append({**ids, "request_id": [request_id(item, at)], "merged": False})
    return Answer(200, added)


def wrong_pipelines(items: list[dict[str, Any]]) -> Answer | None:
    """The refusal of a pipeline that is not there. Ours, not the vendor's: its words."""
    error = {"code": "NotSupportedChoice", "path": "pipeline_id", "detail": "The value is not a valid choice."}
    refused = [
        {"request_id": request_id(item, at), "errors": [error]}
        for at, item in enumerate(items)
        if item.get("pipeline_id", PIPELINE_ID) != PIPELINE_ID
    ]
    return problem(400, "Request validation failed", **{"validation-errors": refused}) if refused else None
