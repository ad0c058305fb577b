"""Kommo's tasks: added, listed, completed. People close and delete them too.

Sources: developers.kommo.com (tasks list, add tasks, edit task, 2026); TasksFilter.php of the official PHP SDK: no
filter by text, `entity_id` only together with `entity_type`. Ours, not the vendor's: which field a validation error
names, and that a token without the right to tasks is answered 403.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deploy.fake_crms.exchange import Answer, Inbound, php_params
from deploy.fake_crms.journal import Event
from deploy.fake_crms.kommo.requests import branch, named, paged, problem, read_json, request_id
from deploy.fake_crms.kommo.state import ACCOUNT_ID, Request

TASKS = re.compile(r"/api/v4/tasks(?:/(?P<task>\d+))?")
ENTITIES = frozenset({"contacts", "companies", "leads", "customers"})


def operation(method: str, path: str) -> str | None:
    """The operation: tasks (GET), add_tasks (POST), edit_tasks (PATCH); None if the path is not about tasks."""
    if TASKS.fullmatch(path) is None:
        return None
    return {"GET": "tasks", "POST": "add_tasks", "PATCH": "edit_tasks"}.get(method)


def serve(request: Request) -> Answer:
    """Answer a request about tasks."""
    if not request.config.task_rights:
        return problem(403, "Access denied")
    match request.inbound.method:
        case "POST":
            return _add(request)
        case "PATCH":
            return _edit(request)
    return _list(request)


def _add(request: Request) -> Answer:
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed: an array of tasks is expected")
    wrong = [(request_id(item, at), _errors(item, request)) for at, item in enumerate(items)]
    refused = [{"request_id": name, "errors": errors} for name, errors in wrong if errors]
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    added = []
    for at, item in enumerate(items):
        task = request.account.tasks.add(item, request.now())
        link = {"self": {"href": f"{request.url}/api/v4/tasks/{task['id']}"}}
        added.append({"id": task["id"], "request_id": request_id(item, at), "_links": link})
    return Answer(200, {"_links": {}, "_embedded": {"tasks": added}})


def _errors(item: dict[str, Any], request: Request) -> list[dict[str, str]]:
    missing = [name for name in ("text", "complete_till") if not item.get(name)]
    errors = [{"code": "FieldMissing", "path": name, "detail": "This field is missing."} for name in missing]
    wrong = []
    user, users = item.get("responsible_user_id"), request.config.users
    if user is not None and not any(one.id == user and one.active for one in users):
        wrong.append("responsible_user_id")
    if "entity_id" in item and item.get("entity_type") not in ENTITIES:
        wrong.append("entity_type")
    elif "entity_id" in item and not request.account.has_entity(item["entity_id"]):
        wrong.append("entity_id")
    return errors + [
        {"code": "NotSupportedChoice", "path": path, "detail": "The value you selected is not a valid choice."}
        for path in wrong
    ]


def _edit(request: Request) -> Answer:
    number, fields = _number(request.inbound), read_json(request.inbound)
    if number is None or not isinstance(fields, dict):
        return problem(400, "Request validation failed: one task, by its path, is expected")
    if number not in request.account.tasks.tasks:
        return problem(404, "Task not found")
    request.account.tasks.change(number, fields)
    return Answer(200, {"id": number, "updated_at": int(request.now()), "_links": {}})


def _number(inbound: Inbound) -> int | None:
    match = TASKS.fullmatch(inbound.path.rstrip("/"))
    return int(match["task"]) if match is not None and match["task"] else None


def _list(request: Request) -> Answer:
    query = php_params(request.inbound.query)
    wanted, indexed = branch(query, "filter"), request.indexed_until()
    fits = _filter(wanted)
    found = [_as_listed(task) for task in request.account.tasks.tasks.values() if task["at"] <= indexed and fits(task)]
    if branch(query, "order").get("id") == "desc":
        found.reverse()
    return paged(request.url, request.inbound, query, "tasks", found)


def _filter(wanted: dict[str, Any]) -> Callable[[Event], bool]:
    """Whether a task is what a filter asks for."""
    kind, completed = wanted.get("entity_type"), wanted.get("is_completed")
    among = named(wanted, "entity_id") if kind is not None else None  # entity_id counts with entity_type alone

    def fits(task: Event) -> bool:
        if kind is not None and task["entity_type"] != kind:
            return False
        if among is not None and str(task["entity_id"]) not in among:
            return False
        return completed is None or task["is_completed"] == (str(completed) in ("1", "true"))

    return fits


def _as_listed(task: Event) -> dict[str, Any]:
    return {
        "id": task["id"],
        "created_at": int(task["at"]),
        "responsible_user_id": task["user"],
        "entity_id": task["entity_id"],
        "entity_type": task["entity_type"],
        "is_completed": task["is_completed"],
        "task_type_id": task["task_type_id"],
        "text": task["text"],
        "complete_till": task["complete_till"],
        "result": {"text": task["result"]} if task["result"] else [],
        "account_id": ACCOUNT_ID,
    }
