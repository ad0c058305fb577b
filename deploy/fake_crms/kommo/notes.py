"""Kommo's notes: listed, added, edited. A call leaves one; people and integrations write others.

Sources: developers.kommo.com (notes list, note types, add notes, edit notes, 2026).
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any

from deploy.fake_crms.exchange import Answer, Inbound, php_params
from deploy.fake_crms.kommo.requests import branch, named, note_fits, paged, problem, read_json, request_id
from deploy.fake_crms.kommo.state import Request, updated_at

NOTES = re.compile(
    r"/api/v4/(?P<kind>contact|lead|customer|compan)(?:s|ies)(?:/(?P<entity>\d+))?/notes(?:/(?P<note>\d+))?"
)
TEXT_NOTES = frozenset({"common", "service_message", "extended_service_message"})


def operation(method: str, path: str) -> str | None:
    """The operation: notes (GET), add_notes (POST), edit_notes (PATCH); None if the path is not about notes."""
    match = NOTES.fullmatch(path)
    if match is None or (match["note"] is not None and method == "POST"):
        return None
    return {"GET": "notes", "POST": "add_notes", "PATCH": "edit_notes"}.get(method)


def _place(inbound: Inbound) -> tuple[str, int | None, int | None]:
    match = NOTES.fullmatch(inbound.path.rstrip("/"))
    assert match is not None
    kind = "company" if match["kind"] == "compan" else match["kind"]
    entity, note = (None if match[name] is None else int(match[name]) for name in ("entity", "note"))
    return kind, entity, note


def find(request: Request) -> Answer:
    """List notes of an entity type or of one entity, filtered by note_type, updated_at and id; 204 if there are
    none."""
    query = php_params(request.inbound.query)
    kind, entity, note_id = _place(request.inbound)
    if kind == "customer" and not request.config.customers:
        return problem(404, "Customers are switched off")  # ours, not the vendor's: no document shows it
    wanted, order = branch(query, "filter"), branch(query, "order")
    changed, moment = wanted.get("updated_at"), request.config.note_updated_at
    since = int(changed.get("from", 0)) if isinstance(changed, dict) else 0
    indexed, entities = request.indexed_until(), named(wanted, "entity_id")
    found = [
        note
        for note in (
            request.account.note_json(event, request.url, moment)
            for event in request.account.all_notes
            if event["entity"] == kind
            and entity in (None, event["entity_id"])
            and (entities is None or str(event["entity_id"]) in entities)
            and updated_at(event, moment) >= since
            and (event["at"] <= indexed or note_id is not None)
        )
        if note_fits(note, wanted)
    ]
    if note_id is not None:
        one = next((note for note in found if note["id"] == note_id), None)
        return Answer(204) if one is None else Answer(200, one)
    for name, direction in order.items():
        if name in {"id", "updated_at"}:
            found.sort(key=itemgetter(name), reverse=direction == "desc")
    return paged(request.url, request.inbound, query, "notes", found)


def add(request: Request) -> Answer:
    """Add text notes: to the entity of the path, or each to its own entity_id."""
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of notes is expected")
    kind, of_path, _ = _place(request.inbound)
    refused, places = [], []
    for at, item in enumerate(items):
        entity = of_path if of_path is not None else item.get("entity_id")
        places.append(entity)
        errors = _errors(item, entity, request)
        if errors:
            refused.append({"request_id": request_id(item, at), "errors": errors})
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    added = []
    for at, (item, entity) in enumerate(zip(items, places, strict=True)):
        note = request.account.add_text(kind, int(entity or 0), item["note_type"], item["params"], request.now())
        added.append({"id": note["id"], "entity_id": entity, "request_id": request_id(item, at)})
    return Answer(200, {"_embedded": {"notes": added}})


def _errors(item: dict[str, Any], entity: object, request: Request) -> list[dict[str, str]]:
    wrong = []
    if item.get("note_type") not in TEXT_NOTES:
        wrong.append("note_type")
    params = item.get("params")
    if not isinstance(params, dict) or not params.get("text"):
        wrong.append("params")
    if not isinstance(entity, int) or not request.account.has_entity(entity):
        wrong.append("entity_id")
    return [{"code": "NotSupportedChoice", "path": path, "detail": "This value is not valid."} for path in wrong]


def _call_errors(params: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with the params of a call's note: what GET gives as null is refused (issues 383, 570, 583 and pull
    request 595 of the official PHP SDK). Ours, not the vendor's: that an empty call_result is."""
    null = [name for name, value in params.items() if value is None]
    errors = [_note_error("NotNullable", name, "This value should not be null.") for name in null]
    if params.get("call_result") == "":
        errors.append(_note_error("IsBlank", "call_result", "This value should not be blank."))
    wrong = [name for name in ("call_status", "duration") if isinstance(params.get(name), str)]
    return errors + [_note_error("InvalidType", name, "This value should be of type int.") for name in wrong]


def _note_error(code: str, param: str, detail: str) -> dict[str, str]:
    return {"code": code, "path": f"params.{param}", "detail": detail}


def edit(request: Request) -> Answer:
    """Give notes new params: an array with ids, or one note by its path."""
    parsed = read_json(request.inbound)
    _, _, note_id = _place(request.inbound)
    items = [{**parsed, "id": note_id}] if note_id is not None and isinstance(parsed, dict) else parsed
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of notes is expected")
    known = {note["id"]: note for note in request.account.all_notes}
    missing = [item for item in items if item.get("id") not in known]
    if missing:
        return problem(404, "Note not found")
    refused = [
        {"request_id": request_id(item, at), "errors": errors}
        for at, item in enumerate(items)
        if "call" in known[item["id"]] and (errors := _call_errors(item.get("params") or {}))
    ]
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    edited = []
    for item in items:
        note = known[item["id"]]
        request.account.edit_note(note["id"], item.get("params") or {}, request.now())
        edited.append({"id": note["id"], "entity_id": note["entity_id"], "updated_at": int(request.now())})
    return Answer(200, {"_embedded": {"notes": edited}})
