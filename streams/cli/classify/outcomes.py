"""A call's outcome for scripts: its JSON form, and what each CRM would get."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import msgspec

from streams.calls.json_form import encode_call
from streams.calls.offline import OfflineClassifier
from streams.calls.result import CallResult
from streams.crm.registry import registered
from streams.delivery.eligibility import skip_reason
from streams.rows.row import CapturedRow
from streams.rules import Rules
from streams.rules.statuses import CallFeatures
from streams.settings import Settings

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Outcomes:
    """Tells outcomes by the rules, and by which calls the configured portals want."""

    rules: Rules
    settings: Settings

    def skipped(self, result: CallResult, crm: str) -> str | None:
        """Why the CRM gets no entry of the call; None: it gets one."""
        return self._skip_reasons[crm](result)

    @cached_property
    def _skip_reasons(self) -> dict[str, Callable[[CallResult], str | None]]:
        """By CRM: `skip_reason` as its first portal, and its kind, have it."""
        portals = {portal.crm: portal for portal in reversed(self.settings.portals)}
        found = dict[str, Callable[[CallResult], str | None]]()
        for crm, kind in registered().kinds.items():
            portal = portals.get(crm)
            internal, unknown = (portal.deliver_internal, portal.deliver_unknown) if portal else (False, False)
            found[crm] = partial(skip_reason, internal=internal, unknown=unknown, number_needed=kind.number_needed)
        return found

    def json_line(self, result: CallResult) -> bytes:
        """One JSON object and a newline. Each CRM with statuses is a member, null where the call is not delivered."""
        told_why = self._skip_reasons
        skipped, changed = [told_why[crm](result) for crm in self.rules.tables], dict[str, object]()
        if any(skipped):
            reasons = [reason for reason in dict.fromkeys(skipped) if reason]
            where = "in no CRM" if all(skipped) else "not in every CRM"
            changed["why"] = (*result.why, *(f"{where}: {reason}" for reason in reasons))
        return encode_call(result, **changed)[:-1] + self._told(
            CallFeatures(result.result, result.direction, result.answered), tuple(map(bool, skipped))
        )

    def json_lines(
        self, classifier: OfflineClassifier, rows: Iterable[CapturedRow]
    ) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """The line of each call of the rows, and the call's order."""
        return classifier.judged(rows, lambda call, cut_short: self.json_line(classifier.result_of(call, cut_short)))

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
