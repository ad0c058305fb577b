"""Calls that a replay finds differing, or cannot judge: as JSON, as CSV, and in words."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.calls.differences import differing
from streams.calls.result import CallResult
from streams.cli.classify.outcomes import Outcomes
from streams.printable import csv_cell
from streams.replay.comparison import Counts, Found, Kind
from streams.replay.judge import NotJudged
from streams.rules.results import RESULT_NAMES
from streams.rules.statuses import CallFeatures

CSV_HEAD = ("call_id", "kind", "member", "before", "after", "why")

_KINDS = {
    Kind.SAME: "have the outcome that stands there",
    Kind.STATUS: "have the same outcome, and another status in a CRM",
    Kind.CHANGED: "have another outcome",
    Kind.MORE_ROWS: "have another outcome, with rows that no result of them holds",
    Kind.NO_RESULT: "have no result there",
}
_UNJUDGED = {
    "first_rows_gone": "cannot be judged: their first rows are not on the topic",
    "rows_gone": "cannot be judged: retention removed rows of them while they were read",
    "still_open": "are not over",
    "fewer_rows": "cannot be judged: a result of them holds more rows than were read",
    "rows_lost": "cannot be judged: the worker withheld them, for rows of them may be lost",
    "not_judged": "could not be classified",
}


@dataclass(slots=True)
class DifferenceWriter:
    """Tells what is found, and counts what the CRMs show."""

    before: Outcomes
    after: Outcomes
    statuses: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By CRM: status before and after, of calls in which they differ."""

    def shown_otherwise(self, result: CallResult) -> bool:
        """Whether a CRM would show the same outcome otherwise."""
        seen = CallFeatures(result.result, result.direction, result.answered)
        for crm, table in self.after.rules.tables.items():
            known = self.before.rules.tables.get(crm)
            if known is None or known.to_json(known.status(seen)) != table.to_json(table.status(seen)):
                return bool(differing(self.before.as_object(result), self.after.as_object(result)))
        return False

    def as_object(self, found: Found) -> dict[str, Any]:
        """The members of its JSON line."""
        if isinstance(found, NotJudged):
            return {"call_id": found.call_id, "kind": "not_judged", "reason": found.why.value, "words": found.words}
        result = found.after.result
        after = self.after.as_object(result)
        told: dict[str, Any] = {"call_id": result.call_id, "kind": found.kind.value}
        told["version"], told["rules_hash"] = result.version, [_hash(found.before), result.rules_hash]
        if found.before is None:
            return {**told, "before": None, "after": after, "why": [None, list(result.why)]}
        before = self.before.as_object(found.before)
        members = differing(before, after)
        self._count(before, after)
        return {
            **told,
            "before": {name: before[name] for name in members},
            "after": {name: after.get(name) for name in members},
            "why": [list(found.before.why), list(result.why)],
        }

    def json_line(self, told: dict[str, Any]) -> bytes:
        """One JSON object and a newline."""
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)

    def csv_lines(self, told: dict[str, Any]) -> bytes:
        """One line for each member that differs."""
        text = io.StringIO()
        writer = csv.writer(text)
        head = told["call_id"], told["kind"]
        if "reason" in told:
            writer.writerow([csv_cell(each) for each in (*head, "", "", told["reason"], told["words"])])
        else:
            before, after = told["before"] or {}, told["after"]
            for name, value in after.items():
                if told["before"] is not None or name in ("direction", "answered", "result", "result_name"):
                    cells = (*head, name, in_words(before.get(name)), in_words(value), "; ".join(told["why"][1]))
                    writer.writerow([csv_cell(each) for each in cells])
        return text.getvalue().encode()

    def in_words(self, told: dict[str, Any]) -> Iterator[str]:
        """The lines for a person."""
        if "reason" in told:
            yield f"{told['call_id']}: not judged: {told['words']}"
            return
        result = told["after"]
        if told["before"] is None:
            yield f"{told['call_id']}: no result there; judged {result['result']} {result['result_name']}"
            return
        yield f"{told['call_id']}:" + (" with rows that no result holds" if told["kind"] == Kind.MORE_ROWS else "")
        for name, value in result.items():
            yield f"    {name.replace('_', ' ')}: {in_words(told['before'][name])} -> {in_words(value)}"
        yield f"    why: {told['why'][1][-1] if told['why'][1] else '-'}"

    def _count(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        for crm in self.after.rules.tables:
            shown = in_words(before.get(crm)), in_words(after.get(crm))
            if shown[0] != shown[1]:
                self.statuses[crm, *shown] += 1


def _hash(result: CallResult | None) -> str | None:
    return None if result is None else result.rules_hash


def in_words(value: object) -> str:
    """A member's value for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(str(each) for each in value.values() if each is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def summary_lines(counts: Counts, statuses: Counter[tuple[str, str, str]]) -> Iterator[str]:
    """Counts for a person."""
    yield f"{counts.judged:,} calls judged from {counts.rows:,} rows"
    for kind, words in _KINDS.items():
        if counts.kinds[kind]:
            yield f"  {counts.kinds[kind]:,} {words}"
    for why, count in counts.unjudged.most_common():
        yield f"  {count:,} {_UNJUDGED[why.value]}"
    if counts.unreadable:
        yield f"  {counts.unreadable:,} rows could not be read: see cel2crm dead-letters"
    moved = {pair: count for pair, count in counts.results.items() if pair[0] != pair[1]}
    for (before, after), count in sorted(moved.items(), key=lambda each: -each[1]):
        yield f"result {result_named(before)} -> {result_named(after)}: {count:,}"
    for (crm, shown, now), count in statuses.most_common():
        yield f"{crm} {shown} -> {now}: {count:,}"


def result_named(result: int | None) -> str:
    """A result with its name."""
    return "none" if result is None else f"{result} {RESULT_NAMES.get(result, '')}".rstrip()


def summary_object(counts: Counts, statuses: Counter[tuple[str, str, str]], rules_hash: str) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "rules_hash": rules_hash,
        "rows": counts.rows,
        "unreadable_rows": counts.unreadable,
        "judged": counts.judged,
        "differing": counts.differing,
        "kinds": {kind.value: counts.kinds[kind] for kind in Kind},
        "not_judged": {why.value: count for why, count in counts.unjudged.items()},
        "results": [
            {"before": before, "after": after, "calls": count} for (before, after), count in counts.results.items()
        ],
        "statuses": [
            {"crm": crm, "before": shown, "after": now, "calls": count} for (crm, shown, now), count in statuses.items()
        ],
    }
