"""Real calls as an anonymised case in the form of the recordings, which `classify --truth` and the tests read. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streams.calls.call import Call
from streams.calls.call_facts import fold_call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cases.anonymise import Anonymised, anonymise
from streams.rows.row import CelRow, RowDecoder
from streams.rules import Rules

_IN_OTHER_WORDS = frozenset({"why", "rules_hash", "outcome_hash"})
"""Fields that name numbers in sentences, or hash them."""


@dataclass(frozen=True, slots=True)
class CapturedCase:
    """The rows of a few calls that belong together, and what a classifier must know of their PBX."""

    linkedids: tuple[str, ...]
    anonymised: Anonymised
    settings: dict[str, Any]
    """The settings that differ from the defaults and that decide how these calls are classified."""

    def calls(self, pbx: str) -> list[Call]:
        """The anonymised calls."""
        decoder = RowDecoder(default_pbx=pbx)
        return calls_of(pbx, (decoder.from_columns(row) for row in self.anonymised.rows))


def calls_of(pbx: str, rows: Iterable[CelRow]) -> list[Call]:
    """Rows folded into their calls, in the order of first rows."""
    calls: dict[str, Call] = {}
    for row in rows:
        calls.setdefault(row.linkedid, Call(pbx, row.linkedid)).add(row)
    return list(calls.values())


def capture_case(calls: Sequence[Call], profile: PbxProfile, *, keep_trunks: bool = False) -> CapturedCase:
    """Calls that belong together, anonymised; the first is the one that the case is about."""
    profile = profile.of_pbx(calls[0].pbx)
    rows = sorted((row for call in calls for row in call.rows), key=lambda row: row.id)
    outside, staff = _outside_endpoints(calls, profile), _staff(rows, profile)
    anonymised = anonymise(rows, lambda number: _shape(number, profile), trunks=outside, keep_trunks=keep_trunks)
    text = anonymised.pseudonyms.text
    numbers: dict[str, Any] = {}
    if trunks := sorted({text(name) for name in outside if profile.is_trunk(name)}):
        numbers["trunks"] = trunks
    if staff:
        numbers["internal_patterns"] = sorted(re.escape(text(number)) for number in staff)
    if profile.internal_digits is not None:
        numbers["internal_digits"] = profile.internal_digits
    if profile.region != PbxProfile().region:
        numbers["region"] = profile.region
    if profile.rewrite:
        numbers["rewrite"] = [[pattern.pattern, replacement] for pattern, replacement in profile.rewrite]
    settings: dict[str, Any] = {"numbers": numbers} if numbers else {}
    if not profile.bridges_logged:
        settings["aggregate"] = {"bridges_logged": False}
    return CapturedCase(tuple(call.linkedid for call in calls), anonymised, settings)


def outcome_differences(
    calls: Sequence[Call],
    case: CapturedCase,
    rules: Rules,
    profile: PbxProfile,
    case_profile: PbxProfile,
    case_rules: Rules,
) -> list[str]:
    """Where the outcome of the anonymised calls differs from that of the real ones, but for the numbers: sentences."""
    text, pbx = case.anonymised.pseudonyms.text, calls[0].pbx
    anonymised = {call.linkedid: _classified(call, case_rules, case_profile) for call in case.calls(pbx)}
    found = []
    for call in calls:
        real, made = _classified(call, rules, profile), anonymised[call.linkedid]
        for field in CallResult.__struct_fields__:
            before, after = getattr(real, field), getattr(made, field)
            if field not in _IN_OTHER_WORDS and _mapped(before, text) != _sorted(after):
                found.append(f"{call.linkedid}: {field} is {after!r}, and was {before!r}")
    return found


def _classified(call: Call, rules: Rules, profile: PbxProfile) -> CallResult:
    return classify(call, rules, profile, cut_short=not call.ended).result


def _mapped(value: Any, text: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, tuple):
        return sorted(_mapped(each, text) for each in value)
    return value


def _sorted(value: Any) -> Any:
    # Who talked in the same moment stands in the order of names.
    return sorted(value) if isinstance(value, tuple) else value


def _outside_endpoints(calls: Iterable[Call], profile: PbxProfile) -> set[str]:
    return {channel.endpoint for call in calls for channel in fold_call(call, profile).on_side("outside")}


def _staff(rows: Iterable[CelRow], profile: PbxProfile) -> set[str]:
    numbers = {
        number
        for row in rows
        for number in (row.cid_num, row.cid_ani, row.cid_dnid, row.exten)
        if number.removeprefix("+").isdigit()
    }
    return {number for number in numbers if profile.is_staff(number) and not profile.is_extension(number)}


def _shape(number: str, profile: PbxProfile) -> tuple[bool, bool, int]:
    """The properties of a number that decide an outcome, but for being one of staff: the case's settings say that."""
    outside = profile.normalised_number(number) or ""
    return profile.is_extension(number), outside.startswith("+"), len(outside)


def case_line(case: CapturedCase, facts: dict[str, Any]) -> bytes:
    """The case as a line of JSON, its fields as in the recordings. `facts`: what the operator knows of the call."""
    text = case.anonymised.pseudonyms.text
    who = facts.get("who_answered")
    fields = {
        "case": facts["case"],
        "asterisk": facts.get("asterisk"),
        "direction": facts.get("direction"),
        "description": facts.get("description", ""),
        "sip_final": None,
        "human_answered": facts.get("human_answered"),
        "who_answered": ",".join(text(name.strip()) for name in who.split(",")) if who else who,
        "result": facts.get("result"),
        "bitrix24": facts.get("bitrix24"),
        "kommo": facts.get("kommo"),
        "linkedids": list(case.linkedids),
        **({"settings": case.settings} if case.settings else {}),
        "cdr": [],
        "cel": list(case.anonymised.rows),
    }
    return msgspec.json.encode(fields) + b"\n"
