"""A call's outcome for scripts: its JSON form, and what each CRM would get."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import msgspec

from streams.calls.json_form import encode_call
from streams.calls.result import CallResult
from streams.crm.registry import registered
from streams.delivery.eligibility import skip_reason
from streams.rules import Rules
from streams.rules.statuses import CallFeatures
from streams.settings import PortalSettings, Settings

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Outcomes:
    """Tells outcomes by the rules, and by which calls the configured portals want."""

    rules: Rules
    settings: Settings

    def skipped(self, result: CallResult, crm: str) -> str | None:
        """Why the CRM gets no entry of the call; None: it gets one."""
        portal = self._portals.get(crm)
        internal, unknown = (portal.deliver_internal, portal.deliver_unknown) if portal else (False, False)
        needed = registered().kinds[crm].number_needed
        return skip_reason(result, internal=internal, unknown=unknown, number_needed=needed)

    @cached_property
    def _portals(self) -> dict[str, PortalSettings]:
        return {portal.crm: portal for portal in reversed(self.settings.portals)}

    def json_line(self, result: CallResult) -> bytes:
        """One JSON object and a newline. Each CRM with statuses is a member, null where the call is not delivered."""
        skipped = [self.skipped(result, crm) for crm in self.rules.tables]
        reasons = [reason for reason in dict.fromkeys(skipped) if reason]
        if reasons:
            where = "in no CRM" if all(skipped) else "not in every CRM"
            why = (*result.why, *(f"{where}: {reason}" for reason in reasons))
            result = msgspec.structs.replace(result, why=why)
        return encode_call(result)[:-1] + self._told(
            CallFeatures(result.result, result.direction, result.answered), tuple(map(bool, skipped))
        )

    def as_object(self, result: CallResult) -> dict[str, Any]:
        """The same as `json_line` gives, to be told with more."""
        fields: dict[str, Any] = msgspec.json.decode(self.json_line(result))
        return fields

    @cached_property
    def _told(self) -> Callable[[CallFeatures, tuple[bool, ...]], bytes]:
        """The end of a JSON line: what the CRMs show. Few calls differ in it."""

        @cache
        def told(seen: CallFeatures, skipped: tuple[bool, ...]) -> bytes:
            shown = {
                crm: None if left_out else table.to_json(table.status(seen))
                for (crm, table), left_out in zip(self.rules.tables.items(), skipped, strict=True)
            }
            return b"," + _encode(shown)[1:] + b"\n"

        return told
