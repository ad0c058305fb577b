"""Kommo's contacts, leads and incoming leads: what a call of an unknown number can become.

Sources: developers.kommo.com (contacts, complex leads, incoming leads of type sip, 2026).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.portals.exchange import Answer, Inbound, php_params
from deploy.portals.kommo_calls import ACCOUNT_ID
from deploy.portals.kommo_requests import branch, paged, phones_of, problem, read_json, request_id, sip_errors
from deploy.portals.phones import last_digits

if TYPE_CHECKING:
    from deploy.portals.kommo import KommoPortal


def add_contacts(portal: KommoPortal, inbound: Inbound) -> Answer:
    """POST /api/v4/contacts."""
    items = read_json(inbound)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of contacts is expected")
    added = []
    for at, item in enumerate(items):
        contact = _contact(portal, item)
        added.append({"id": contact, "is_deleted": False, "request_id": request_id(item, at)})
    return Answer(200, {"_links": {}, "_embedded": {"contacts": added}})


def _contact(portal: KommoPortal, item: dict[str, Any]) -> int:
    name = item.get("name") or " ".join(str(item.get(part) or "") for part in ("first_name", "last_name")).strip()
    responsible = item.get("responsible_user_id")
    return portal.book.add_contact(str(name), phones_of(item), portal.now(), responsible)


def find_contacts(portal: KommoPortal, inbound: Inbound) -> Answer:
    """GET /api/v4/contacts?query=."""
    query = php_params(inbound.query)
    wanted = str(query.get("query", ""))
    indexed = portal.now() - portal.config.lookup_lag
    found = [
        _contact_json(contact, portal)
        for contact in portal.book.contacts.values()
        if contact["at"] <= indexed
        and (
            not wanted
            or wanted in contact["name"]
            or (last_digits(wanted) and last_digits(wanted) in {last_digits(phone) for phone in contact["phones"]})
        )
    ]
    return paged(portal.url, inbound, query, "contacts", found)


def _contact_json(contact: dict[str, Any], portal: KommoPortal) -> dict[str, Any]:
    values = [{"value": phone, "enum_id": 1, "enum_code": "WORK"} for phone in contact["phones"]]
    phones = {"field_id": 1, "field_name": "Phone", "field_code": "PHONE", "field_type": "multitext", "values": values}
    return {
        "id": contact["id"],
        "name": contact["name"],
        "responsible_user_id": contact.get("responsible") or portal.config.users[0].id,
        "created_at": int(contact["at"]),
        "updated_at": int(contact["at"]),
        "custom_fields_values": [phones] if values else None,
        "account_id": ACCOUNT_ID,
    }


def add_leads(portal: KommoPortal, inbound: Inbound) -> Answer:
    """POST /api/v4/leads/complex: a lead together with its contact."""
    items = read_json(inbound)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of leads is expected")
    added = []
    for at, item in enumerate(items):
        contacts = (item.get("_embedded") or {}).get("contacts") or []
        contact = _contact(portal, contacts[0]) if contacts else None
        lead = portal.book.add_lead(str(item.get("name") or ""), contact, portal.now())
        ids = {"id": lead, "contact_id": contact, "company_id": None}
        added.append({**ids, "request_id": [request_id(item, at)], "merged": False})
    return Answer(200, added)


def add_unsorted(portal: KommoPortal, inbound: Inbound) -> Answer:
    """POST /api/v4/leads/unsorted/sip: an entry that a person accepts or declines; its call is shown with it."""
    items = read_json(inbound)
    if not isinstance(items, list) or not items:
        return problem(400, "Request validation failed: an array of incoming leads is expected")
    refused = [
        {"request_id": request_id(item, at), "errors": errors}
        for at, item in enumerate(items)
        if (errors := sip_errors(item))
    ]
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    added = []
    for at, item in enumerate(items):
        meta = item["metadata"]
        call = {
            "direction": "inbound",
            "duration": meta["duration"],
            "source": item["source_name"],
            "phone": str(meta["from"]),
        }
        call |= {name: meta[name] for name in ("uniq", "link") if meta.get(name)}
        call |= {"created_at": meta["called_at"], "call_status": 6 if not meta["duration"] else 4}
        lead = portal.book.next_lead
        note = portal.book.add_call(call, lead, portal.now(), entity="lead", via="unsorted")
        uid = f"{note['id']:032x}"
        portal.record("unsorted", {"uid": uid, "lead": lead, "item": item, "at": portal.now()})
        answer = {"uid": uid, "account_id": ACCOUNT_ID, "request_id": request_id(item, at)}
        added.append({**answer, "_embedded": {"leads": [{"id": lead}]}})
    return Answer(200, {"_total_items": len(added), "_embedded": {"unsorted": added}})


def list_unsorted(portal: KommoPortal, inbound: Inbound) -> Answer:
    """GET /api/v4/leads/unsorted: those that nobody has accepted or declined, newest first if so ordered."""
    query = php_params(inbound.query)
    wanted = branch(query, "filter")
    categories, uids = _many(wanted.get("category")), _many(wanted.get("uid"))
    indexed = portal.now() - portal.config.lookup_lag
    found = [
        {
            "uid": one["uid"],
            "source_uid": one["item"]["source_uid"],
            "source_name": one["item"]["source_name"],
            "category": "sip",
            "created_at": one["item"].get("created_at") or int(one["at"]),
            "metadata": one["item"]["metadata"],
            "account_id": ACCOUNT_ID,
            "_embedded": {"leads": [{"id": one["lead"]}], "contacts": []},
        }
        for one in portal.book.unsorted
        if one["at"] <= indexed and (not categories or "sip" in categories) and (not uids or one["uid"] in uids)
    ]
    if branch(query, "order").get("created_at") == "desc":
        found.reverse()
    return paged(portal.url, inbound, query, "unsorted", found)


def _many(value: object) -> list[str]:
    return [] if value is None else [str(one) for one in (value if isinstance(value, list) else [value])]
