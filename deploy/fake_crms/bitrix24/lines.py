"""Bitrix24's external lines of an application: telephony.externalLine.add, .update and .get.

Source: the vendor's pages of these methods (2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.fake_crms.bitrix24.fields import TelephonyError, text
from deploy.fake_crms.journal import Event


@dataclass(slots=True)
class LineStore:
    """The lines by number. `record` writes a change to the journal and calls `apply` with it."""

    record: Callable[[str, Event], None]
    lines: dict[str, Event] = field(default_factory=dict)

    def call(self, method: str, params: dict[str, Any]) -> object:
        """Carry out `add`, `update` or `get`; the result."""
        if method == "get":
            return list(self.lines.values())
        number = text(params.get("NUMBER"))
        if number is None:
            raise TelephonyError("NUMBER should not be empty")
        if method == "add" and number in self.lines:
            raise TelephonyError("Line already exists")
        if method == "update" and number not in self.lines:
            raise TelephonyError("Line is not found")  # ours, not the vendor's words
        before = self.lines.get(number, {"NAME": "", "CRM_AUTO_CREATE": "Y"})
        changes = {name: text(params.get(name)) for name in ("NAME", "CRM_AUTO_CREATE")}
        given = {name: value for name, value in changes.items() if value is not None}
        self.record("line", {**before, "NUMBER": number, **given})
        return {"ID": list(self.lines).index(number) + 1} if method == "add" else True

    def apply(self, kind: str, event: Event) -> bool:
        """Apply one recorded change; False if it is not a change of lines."""
        if kind != "line":
            return False
        self.lines[event["NUMBER"]] = event
        return True
