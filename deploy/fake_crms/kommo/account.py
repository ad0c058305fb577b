"""Kommo's account, its users and pipelines: what an integration can ask before it sends calls.

Sources: developers.kommo.com (account info, users list: for administrators only, pipelines, 2026).
"""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.entry import PortalUser
from deploy.fake_crms.exchange import Answer
from deploy.fake_crms.kommo.requests import problem
from deploy.fake_crms.kommo.state import ACCOUNT_ID, PIPELINE_ID, Request

_ENTITIES = ("leads", "contacts", "companies")


def show(request: Request) -> Answer:
    """The account and the user whose token asks: GET /api/v4/account."""
    owner = request.config.users[0]
    return Answer(200, {"id": ACCOUNT_ID, "name": "cel2crm", "subdomain": "cel2crm", "current_user_id": owner.id})


def users(request: Request) -> Answer:
    """All users, or the one of the path: GET /api/v4/users, /api/v4/users/{id}. For administrators only."""
    if not request.config.owner_is_admin:
        return problem(403, "Access denied")
    people = [_user_json(user, request) for user in request.config.users]
    wanted = request.inbound.path.rstrip("/").rpartition("/")[2]
    if wanted.isdigit():
        one = next((person for person in people if person["id"] == int(wanted)), None)
        return problem(404, "User not found") if one is None else Answer(200, one)
    return Answer(
        200, {"_total_items": len(people), "_page": 1, "_page_count": 1, "_links": {}, "_embedded": {"users": people}}
    )


def _user_json(user: PortalUser, request: Request) -> dict[str, Any]:
    admin = user is request.config.users[0] and request.config.owner_is_admin
    scope = {"view": "A" if admin else "M", "edit": "A" if admin else "M", "add": "A", "delete": "D", "export": "D"}
    rights = {**dict.fromkeys(_ENTITIES, scope), "is_admin": admin, "is_free": False, "is_active": user.active}
    return {"id": user.id, "name": user.name, "email": f"user{user.id}@example.com", "rights": rights}


def pipelines(request: Request) -> Answer:
    """The account's only pipeline, or 404 for another one: GET /api/v4/leads/pipelines(/{id})."""
    main = {
        "id": PIPELINE_ID,
        "name": "Pipeline",
        "is_main": True,
        "is_unsorted_on": request.config.unsorted_on,
        "is_archive": False,
        "account_id": ACCOUNT_ID,
    }
    wanted = request.inbound.path.rstrip("/").rpartition("/")[2]
    if wanted.isdigit():
        return Answer(200, main) if int(wanted) == PIPELINE_ID else problem(404, "Pipeline not found")
    return Answer(200, {"_total_items": 1, "_links": {}, "_embedded": {"pipelines": [main]}})
