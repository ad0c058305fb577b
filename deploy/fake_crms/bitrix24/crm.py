"""Bitrix24's CRM as far as telephony uses it: clients by phone number, leads, comments in a timeline.

Sources: the vendor's pages of telephony.externalCall.searchCrmEntities and crm.timeline.comment.* (2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.fake_crms.bitrix24.fields import TelephonyError, text, whole_number
from deploy.fake_crms.entry import PortalUser
from deploy.fake_crms.journal import Event
from deploy.fake_crms.phones import last_digits

PAGE = 50
FIRST_LEAD = 5000


@dataclass(slots=True)
class CrmStore:
    """Clients and their timelines. `record` writes a change to the journal and calls `apply` with it."""

    record: Callable[[str, Event], None]
    users: tuple[PortalUser, ...]
    clients: list[Event] = field(default_factory=list)
    by_phone: dict[str, list[Event]] = field(default_factory=dict)
    """Clients by the digits that numbers are compared by."""
    comments: list[Event] = field(default_factory=list)
    deleted: set[tuple[str, int]] = field(default_factory=set)
    """Leads and activities that are no more: `LEAD` or `ACTIVITY`, and the id."""

    def add_client(
        self, phone: str, responsible: int, kind: str = "CONTACT", name: str = "Client", source: str = ""
    ) -> int:
        """Add a contact, company or lead with this number; its id. `responsible` is the id of a user, `source` a
        STATUS_ID of the CRM's sources."""
        client_id = (FIRST_LEAD if kind == "LEAD" else 600) + len(self.clients)
        client = {"id": client_id, "type": kind, "name": name, "phone": phone, "responsible": responsible}
        self.record("client", {**client, "source": source})
        return client_id

    def known(self, phone: str) -> list[Event]:
        """The clients with this number: contacts and companies before leads."""
        there = self.by_phone.get(last_digits(phone), ())
        found = [client for client in there if (client["type"], client["id"]) not in self.deleted]
        return sorted(found, key=lambda client: client["type"] == "LEAD")

    def search(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Find clients as telephony.externalCall.searchCrmEntities does."""
        phone = text(params.get("PHONE_NUMBER"))
        if phone is None:
            raise TelephonyError("PHONE_NUMBER is empty")
        return [
            {
                "CRM_ENTITY_TYPE": client["type"],
                "CRM_ENTITY_ID": client["id"],
                "ASSIGNED_BY_ID": client["responsible"],
                "NAME": client["name"],
                "ASSIGNED_BY": self._employee(client["responsible"]),
            }
            for client in self.known(phone)
        ]

    def _employee(self, user_id: int) -> dict[str, Any]:
        inner = next((user.inner for user in self.users if user.id == user_id), "") or None
        phones = {"WORK_PHONE": None, "PERSONAL_PHONE": None, "PERSONAL_MOBILE": None}
        return {"ID": str(user_id), "TIMEMAN_STATUS": "CLOSED", "USER_PHONE_INNER": inner, **phones}

    def lead(self, lead_id: object) -> Event:
        """A lead as it was recorded. Raises TelephonyError: there is none of this id."""
        for client in self.clients:
            known = client["type"] == "LEAD" and str(client["id"]) == str(lead_id)
            if known and ("LEAD", client["id"]) not in self.deleted:
                return client
        raise TelephonyError("Not found", "")

    def delete(self, kind: str, what: int) -> None:
        """Delete a lead or an activity."""
        self.record("deleted", {"what": kind, "id": what})

    def comment(self, fields: object, now: float, author: int) -> int:
        """Add a comment as crm.timeline.comment.add does; its id."""
        wanted = fields if isinstance(fields, dict) else {}
        kind, entity_id = text(wanted.get("ENTITY_TYPE")), whole_number(wanted.get("ENTITY_ID"))
        if kind is None or entity_id is None:
            raise TelephonyError("Required fields: ENTITY_ID, ENTITY_TYPE", "100")
        if not any(client["id"] == entity_id and client["type"].lower() == kind for client in self.clients):
            raise TelephonyError("Owner was not found.", "OWNER_NOT_FOUND")
        words = text(wanted.get("COMMENT"))
        if words is None:
            raise TelephonyError("Empty comment message.", "INVALID_ARG_VALUE")
        comment_id = 1 + len(self.comments)
        event = {"id": comment_id, "entity_type": kind, "entity_id": entity_id, "words": words}
        self.record("comment", {**event, "author": whole_number(wanted.get("AUTHOR_ID")) or author, "at": now})
        return comment_id

    def timeline(self, conditions: object, start: int, indexed: float) -> dict[str, Any]:
        """List a page of an entity's comments, oldest first, as crm.timeline.comment.list does. `indexed`: comments
        written after this unix second are not found yet."""
        wanted = conditions if isinstance(conditions, dict) else {}
        kind, entity_id = text(wanted.get("ENTITY_TYPE")), whole_number(wanted.get("ENTITY_ID"))
        found = [
            _as_listed(comment)
            for comment in self.comments
            if (comment["entity_type"], comment["entity_id"]) == (kind, entity_id) and comment["at"] <= indexed
        ]
        answer: dict[str, Any] = {"result": found[start : start + PAGE], "total": len(found)}
        return {**answer, "next": start + PAGE} if start + PAGE < len(found) else answer

    def apply(self, kind: str, event: Event) -> bool:
        """Apply one recorded change; False if it is not a change of the CRM."""
        if kind == "deleted":
            self.deleted.add((event["what"], event["id"]))
            return True
        if kind == "client":
            self.clients.append(event)
            if digits := last_digits(event["phone"]):
                self.by_phone.setdefault(digits, []).append(event)
            return True
        if kind == "comment":
            self.comments.append(event)
            return True
        return False


def _as_listed(comment: Event) -> dict[str, Any]:
    return {
        "ID": str(comment["id"]),
        "ENTITY_ID": str(comment["entity_id"]),
        "ENTITY_TYPE": comment["entity_type"],
        "CREATED": datetime.fromtimestamp(comment["at"], UTC).isoformat(timespec="seconds"),
        "COMMENT": comment["words"],
        "AUTHOR_ID": str(comment["author"]),
        "FILES": {},
    }
