"""A call's outcome for scripts: its JSON form, and what each CRM would get."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import msgspec

from streams.calls.json_form import encode_call
from streams.calls.result import CallResult
from streams.delivery.eligibility import skip_reason
from streams.rules import Rules
from streams.rules.statuses import Seen
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
        return skip_reason(result, internal=internal, unknown=unknown)

    @cached_property
    def _portals(self) -> dict[str, PortalSettings]:
        return {portal.crm: portal for portal in reversed(self.settings.portals)}

    def json_line(self, result: CallResult) -> bytes:
        """One JSON object and a newline. `bitrix24`, `kommo`: null where the call is not delivered."""
        skipped = [self.skipped(result, crm) for crm in ("bitrix24", "kommo")]
        reasons = [reason for reason in dict.fromkeys(skipped) if reason]
        if reasons:
            where = "in no CRM" if all(skipped) else "not in every CRM"
            why = (*result.why, *(f"{where}: {reason}" for reason in reasons))
            result = msgspec.structs.replace(result, why=why)
        return encode_call(result)[:-1] + self._told(
            Seen(result.result, result.direction, result.answered), *map(bool, skipped)
        )

    def as_object(self, result: CallResult) -> dict[str, Any]:
        """The same as `json_line` gives, to be told with more."""
        fields: dict[str, Any] = msgspec.json.decode(self.json_line(result))
        return fields

    @cached_property
    def _told(self) -> Callable[[Seen, bool, bool], bytes]:
        """The end of a JSON line: what the CRMs show. Few calls differ in it."""

        @cache
        def told(seen: Seen, no_bitrix24: bool, no_kommo: bool) -> bytes:
            bitrix24 = None if no_bitrix24 else {"status": self.rules.bitrix24.status(seen)}
            kommo = None if no_kommo else self.rules.kommo.status(seen)._asdict()
            return b"," + _encode({"bitrix24": bitrix24, "kommo": kommo})[1:] + b"\n"

        return told
