"""The tasks that a Kommo account holds. Plain state, no HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.fake_crms.entry import PortalUser, iso_utc
from deploy.fake_crms.journal import Event

FIRST_TASK = 500_001


@dataclass(slots=True)
class TaskStore:
    """The tasks of an account. `record` writes a change to the journal and applies it."""

    record: Callable[[str, Event], None]
    users: tuple[PortalUser, ...]
    tasks: dict[int, Event] = field(default_factory=dict)
    made: int = 0

    def add(self, item: dict[str, Any], now: float) -> Event:
        """Add a task. Tasks are not compared with earlier ones."""
        names = ("text", "complete_till", "entity_id", "entity_type", "task_type_id")
        task = {"id": FIRST_TASK + self.made, "user": item.get("responsible_user_id") or self.users[0].id, "at": now}
        self.record("task", {**task, **{name: item.get(name) for name in names}})
        return self.tasks[int(task["id"])]

    def change(self, number: int, fields: dict[str, Any], by: str = "rest") -> None:
        """Change a task as PATCH does; or a person, by whom."""
        result = fields.get("result")
        changes: Event = {name: fields[name] for name in ("text", "is_completed", "complete_till") if name in fields}
        if isinstance(result, dict) and "text" in result:
            changes["result"] = result["text"]
        self.record("task_changed", {"id": number, "changes": changes, "by": by})

    def complete(self, number: int) -> None:
        """A person completes a task."""
        self.change(number, {"is_completed": True}, by="person")

    def delete(self, number: int) -> None:
        """A person deletes a task."""
        self.record("task_deleted", {"id": number})

    def apply(self, kind: str, event: Event) -> bool:
        """Apply one recorded change; False if it is none of a task."""
        match kind:
            case "task":
                self.made += 1
                self.tasks[event["id"]] = {**event, "is_completed": False, "result": ""}
            case "task_changed":
                if event["id"] in self.tasks:
                    self.tasks[event["id"]] |= event["changes"]
            case "task_deleted":
                self.tasks.pop(event["id"], None)
            case _:
                return False
        return True

    def shown(self) -> list[dict[str, Any]]:
        """The tasks as a person sees them (Portal.tasks)."""
        return [
            {
                "id": one["id"],
                "text": one["text"],
                "entity": f"{one['entity_type']} {one['entity_id']}",
                "user_id": one["user"],
                "due_at": iso_utc(one["complete_till"]),
                "is_open": not one["is_completed"],
            }
            for one in self.tasks.values()
        ]
