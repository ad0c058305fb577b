"""Bitrix24's universal activities (to-dos): added, listed, completed. Plain state, no HTTP.

Sources: the vendor's pages of crm.activity.todo.add, crm.activity.list and crm.activity.update (2026). Ours, not the
vendor's: the words of a refusal for a responsible person who is not active (the page of add names none, that of update
this text), and that only the fields that are listed below can be filtered by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.fake_crms.bitrix24.crm import PAGE, CrmStore
from deploy.fake_crms.bitrix24.fields import TelephonyError, text, whole_number
from deploy.fake_crms.entry import PortalUser, iso_utc
from deploy.fake_crms.journal import Event

OWNER_TYPES = {1: "LEAD", 2: "DEAL", 3: "CONTACT", 4: "COMPANY"}
FIRST_ACTIVITY = 9000
PROVIDER, PROVIDER_TYPE = "CRM_TODO", "6"
METHODS = frozenset({"crm.activity.todo.add", "crm.activity.list", "crm.activity.update"})


@dataclass(slots=True)
class ActivityStore:
    """The universal activities of a portal. `record` writes a change to the journal and calls `apply` with it."""

    record: Callable[[str, Event], None]
    users: tuple[PortalUser, ...]
    crm: CrmStore
    activities: dict[int, Event] = field(default_factory=dict)
    made: int = 0

    def call(self, name: str, params: dict[str, Any], now: float, owner: int, indexed: float) -> dict[str, Any]:
        """Carry out one of METHODS; `owner`: the user who asks, `indexed`: what is newer is not listed yet.

        Raises TelephonyError.
        """
        match name:
            case "crm.activity.todo.add":
                return {"result": {"id": self._add(params, now, owner)}}
            case "crm.activity.update":
                return {"result": self._update(params, now)}
        return self._list(params, indexed)

    def _add(self, params: dict[str, Any], now: float, owner: int) -> int:
        kind, entity = whole_number(params.get("OWNERTYPEID")), whole_number(params.get("OWNERID"))
        deadline = text(params.get("DEADLINE"))
        if kind is None or entity is None or deadline is None:
            raise TelephonyError("Required fields are missing", "100")
        known = ((client["type"], client["id"]) for client in self.crm.clients)
        if (OWNER_TYPES.get(kind), entity) not in known:
            raise TelephonyError("Not found.", "NOT_FOUND")
        try:
            datetime.fromisoformat(deadline)
        except ValueError:
            raise TelephonyError("Wrong datetime format", "WRONG_DATETIME_FORMAT") from None
        user = whole_number(params.get("RESPONSIBLEID")) or owner
        if not any(one.id == user and one.active for one in self.users):
            raise TelephonyError("The field RESPONSIBLE_ID is not defined or invalid", "")
        number = FIRST_ACTIVITY + self.made
        event = {"id": number, "owner_type": kind, "owner": entity, "user": user, "deadline": deadline, "at": now}
        self.record(
            "activity",
            {**event, "title": text(params.get("TITLE")) or "", "words": text(params.get("DESCRIPTION")) or ""},
        )
        return number

    def _update(self, params: dict[str, Any], now: float) -> bool:
        number, fields = whole_number(params.get("ID")), params.get("FIELDS")
        if number not in self.activities:
            raise TelephonyError("Activity is not found", "")
        wanted = fields if isinstance(fields, dict) else {}
        if "SUBJECT" in wanted and not wanted["SUBJECT"]:
            raise TelephonyError("The field SUBJECT is not defined or empty", "")
        names = {"COMPLETED": "completed", "DESCRIPTION": "words", "SUBJECT": "title"}
        changes = {ours: str(wanted[theirs]) for theirs, ours in names.items() if theirs in wanted}
        self.record("activity_changed", {"id": number, "changes": changes, "at": now, "by": "rest"})
        return True

    def _list(self, params: dict[str, Any], indexed: float) -> dict[str, Any]:
        conditions = params.get("FILTER")
        found = [
            row
            for activity in self.activities.values()
            if activity["at"] <= indexed
            and _fits(row := _as_listed(activity), conditions if isinstance(conditions, dict) else {})
        ]
        order = params.get("ORDER")
        if isinstance(order, dict) and str(order.get("ID", "")).upper() == "DESC":
            found.reverse()
        start = int(params.get("START") or 0)
        answer: dict[str, Any] = {"result": found[start : start + PAGE], "total": len(found)}
        return {**answer, "next": start + PAGE} if start + PAGE < len(found) else answer

    # What a person does.

    def complete(self, number: int) -> None:
        """A person completes an activity."""
        self.record("activity_changed", {"id": number, "changes": {"completed": "Y"}, "at": 0.0, "by": "person"})

    def delete(self, number: int) -> None:
        """A person deletes an activity."""
        self.record("activity_deleted", {"id": number})

    def apply(self, kind: str, event: Event) -> bool:
        """Apply one recorded change; False if it is none of an activity."""
        match kind:
            case "activity":
                self.made += 1
                self.activities[event["id"]] = {**event, "completed": "N"}
            case "activity_changed":
                if event["id"] in self.activities:
                    self.activities[event["id"]] |= event["changes"]
            case "activity_deleted":
                self.activities.pop(event["id"], None)
            case _:
                return False
        return True

    def shown(self) -> list[dict[str, Any]]:
        """The activities as a person sees them."""
        return [
            {
                "id": one["id"],
                "text": f"{one['title']}\n{one['words']}",
                "entity": f"{OWNER_TYPES[one['owner_type']].lower()} {one['owner']}",
                "user_id": one["user"],
                "due_at": one["deadline"],
                "is_open": one["completed"] != "Y",
            }
            for one in self.activities.values()
        ]


def _as_listed(activity: Event) -> dict[str, Any]:
    done = activity["completed"] == "Y"
    return {
        "ID": str(activity["id"]),
        "OWNER_ID": str(activity["owner"]),
        "OWNER_TYPE_ID": str(activity["owner_type"]),
        "TYPE_ID": PROVIDER_TYPE,
        "PROVIDER_ID": PROVIDER,
        "PROVIDER_TYPE_ID": "TODO",
        "SUBJECT": activity["title"],
        "CREATED": iso_utc(activity["at"]),
        "DEADLINE": activity["deadline"],
        "COMPLETED": "Y" if done else "N",
        "STATUS": "2" if done else "1",
        "RESPONSIBLE_ID": str(activity["user"]),
        "DESCRIPTION": activity["words"],
    }


def _fits(row: dict[str, Any], conditions: dict[str, Any]) -> bool:
    """Whether an activity is what a filter asks for: a field that is not known is passed over, as by the vendor."""
    for key, wanted in conditions.items():
        name, part = key.lstrip("%=").upper(), key.startswith("%")
        if name in row and (str(wanted) not in row[name] if part else str(wanted) != row[name]):
            return False
    return True
