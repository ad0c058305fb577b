"""The judge: for every call inserted, what each portal must show, and what it shows.

What is due comes from the rows that were committed, the recordings' truth and the rule tables, never from what the
product put on its topics; what is there comes from the portals' journals.
"""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import RowDecoder
from streams.rules import Rules, load_rules
from streams.settings import Settings
from tests.chaos.call_flow import MARK, Connection, InsertedCall

PORTALS = ("bitrix24", "kommo", "webhook")
_PBX = "pbx1"
_SECONDS = 10.0

Entries = Mapping[str, Sequence[Mapping[str, Any]]]
"""What each portal shows."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """By portal and linkedid. `missing`: not there; `doubled`: there more than once, or though it is not for the
    portal; `wrong`: with another status than is due. `disagreements`: where the rule tables and the recorded truth
    differ, or the table has other rows than were inserted, so that the oracle itself is in doubt."""

    calls: int
    missing: frozenset[tuple[str, str]] = frozenset()
    doubled: frozenset[tuple[str, str]] = frozenset()
    wrong: Mapping[tuple[str, str], str] = field(default_factory=dict)
    disagreements: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Every call once, as it should be."""
        return not (self.missing or self.doubled or self.wrong or self.disagreements)

    def missing_calls(self) -> set[str]:
        """Linkedids of calls that are missing in one portal at least."""
        return {linkedid for _, linkedid in self.missing}


@dataclass(slots=True)
class Oracle:
    """Knows the rules, and remembers what is due for each call."""

    settings: Settings
    portals: tuple[str, ...] = PORTALS
    rules: Rules = field(init=False)
    _profile: PbxProfile = field(init=False)
    _decoder: RowDecoder = field(default_factory=RowDecoder)
    _due: dict[str, dict[str, str]] = field(default_factory=dict)
    _disagreements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = load_rules(self.settings.rules)
        self._profile = PbxProfile.of(self.settings)

    def judge(self, calls: Iterable[InsertedCall], entries: Entries) -> Judgement:
        """Compare what is due with what is there."""
        calls = list(calls)
        missing: set[tuple[str, str]] = set()
        doubled: set[tuple[str, str]] = set()
        wrong: dict[tuple[str, str], str] = {}
        for portal in self.portals:
            shown = entries[portal]
            counts = Counter(linkedid_of(entry) for entry in shown)
            statuses = {linkedid_of(entry): str(entry["status"]) for entry in shown}
            for call in calls:
                linkedid, count = call.truth.linkedid, counts[call.truth.linkedid]
                due = self.due(call).get(portal)
                if count > 1 or (count and due is None):
                    doubled.add((portal, linkedid))
                elif due is not None and not count:
                    missing.add((portal, linkedid))
                elif due is not None and statuses[linkedid] != due:
                    wrong[portal, linkedid] = f"{statuses[linkedid]}, due {due}"
        known = {call.truth.linkedid for call in calls}
        own = tuple(each for each in self._disagreements if each.split()[1] in known)
        return Judgement(len(calls), frozenset(missing), frozenset(doubled), wrong, own)

    def due(self, call: InsertedCall) -> dict[str, str]:
        """The status of a call in each portal that must show it."""
        truth = call.truth
        if truth.linkedid not in self._due:
            rows = Call(_PBX, truth.linkedid)
            for number, row in enumerate(call.rows, start=1):
                rows.add(self._decoder.decode(orjson.dumps({**row, "id": number, "__source_name": _PBX})))
            result = classify(rows, self.rules, self._profile, cut_short=False).result
            if truth.answered is not None and result.answered != truth.answered and not call.altered:
                self._disagreements.append(f"call {truth.linkedid} ({truth.case}): the rules and the truth differ")
            statuses = {
                "bitrix24": str(self.rules.table("bitrix24").status(result).code),
                "kommo": str(self.rules.table("kommo").status(result).code),
                "webhook": str(result.result),
            }
            self._due[truth.linkedid] = {name: each for name, each in statuses.items() if truth.stands_in(name)}
        return self._due[truth.linkedid]


def rows_not_in_table(connection: Connection, calls: Iterable[InsertedCall]) -> list[str]:
    """Numbers of rows that the ledger holds and the table does not: the ledger itself would be wrong."""
    marks = {mark for call in calls for mark in call.marks}
    with connection.cursor() as cursor:
        cursor.execute(f"select {MARK} from cel where {MARK} like 'chaos-%%'")  # noqa: S608 - a constant
        there = {str(row[0]) for row in cursor.fetchall()}
    return sorted(marks - there)


def read_entries(portal_urls: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """What the portals' journals hold. Raises OSError where one does not answer."""
    found = {}
    for name, url in portal_urls.items():
        with urllib.request.urlopen(f"{url}/_fake/entries", timeout=_SECONDS) as answer:  # noqa: S310 - loopback
            shown = json.load(answer)
        found[name] = shown["entries"] if isinstance(shown, dict) else shown
    return found


def linkedid_of(entry: Mapping[str, Any]) -> str:
    """The call that an entry of a portal is about."""
    return str(entry.get("external_id") or "").rpartition("/")[2]
