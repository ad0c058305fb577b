"""`cel2crm classify --rules FILE --compare`: which calls another rule file would classify differently."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from streams.calls.call import Call
from streams.calls.classify import facts_and_result
from streams.calls.differences import differing
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.outcomes import Outcomes
from streams.cli.output import Table
from streams.rows.row import CapturedRow
from streams.rules import load_rules
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Change:
    """A call that is classified differently, and the members that differ."""

    linkedid: str
    before: dict[str, Any]
    after: dict[str, Any]

    def json_line(self) -> bytes:
        """One JSON object and a newline."""
        members = {"linkedid": self.linkedid, "before": self.before, "after": self.after}
        return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


class RulesComparison:
    """Classifies the same rows by two settings, side by side."""

    def __init__(self, before: Settings, after: Settings) -> None:
        self._sides = [(load_rules(each.rules), PbxProfile.of(each)) for each in (before, after)]
        self._outcomes = [Outcomes(rules, each) for (rules, _), each in zip(self._sides, (before, after), strict=True)]
        self.classifier = OfflineClassifier(
            *self._sides[0], before.pbx.name, give_up_seconds=before.aggregate.time_limit_seconds
        )
        self.calls = self.changed = 0

    @property
    def remark(self) -> str:
        """The number of calls that are classified differently, in words."""
        return f"{self.changed} of {self.calls} calls would be told differently"

    def changes(self, rows: Iterable[CapturedRow]) -> Iterator[Change]:
        """The calls that are classified differently, in the order of `classify`."""
        for change, _ in self.classifier.judged(rows, self._change):
            self.calls += 1
            if change is not None:
                self.changed += 1
                yield change

    def _change(self, call: Call, cut_short: bool) -> Change | None:
        results = [facts_and_result(call, *side, cut_short=cut_short)[1] for side in self._sides]
        before, after = (outcomes.as_object(each) for outcomes, each in zip(self._outcomes, results, strict=True))
        members = differing(before, after)
        if not members:
            return None
        return Change(call.linkedid, {name: before[name] for name in members}, {name: after[name] for name in members})

    def json_lines(self, rows: Iterable[CapturedRow]) -> Iterator[bytes]:
        """The changes for scripts."""
        return map(Change.json_line, self.changes(rows))

    def tables(self, rows: Iterable[CapturedRow], _width: int) -> Iterator[Table]:
        """The changes for people."""
        table = Table("linkedid", "what", "before", "after", header_style="bold")
        for change in self.changes(rows):
            for number, name in enumerate(change.before):
                cells = (_format(each[name]) for each in (change.before, change.after))
                table.add_row("" if number else change.linkedid, name.replace("_", " "), *cells)
        yield table


def _format(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(str(each) for each in value.values() if each is not None)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
