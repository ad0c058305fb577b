"""The result table: hangup cause and dial status to the call's result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streams.rules.lines import Faults, RuleLine, Section

DIAL_STATUSES = (
    "", "ANSWER", "BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "DONTCALL", "TORTURE", "INVALIDARGS",
)  # fmt: skip
"""The dial statuses that Asterisk writes (main/cel.c); `ANSWERED` is read as ANSWER."""

CAUSES = range(128)
"""Q.850 hangup causes."""

_CAUSES_AS_WRITTEN = frozenset(map(str, CAUSES))

RESULT_NAMES = {
    0: "Unknown",
    200: "Success",
    404: "Not found",
    405: "Method not supported",
    408: "Request timeout",
    480: "Temporarily unavailable",
    484: "Address incomplete",
    486: "Subscriber is busy",
    488: "Not acceptable",
    500: "Server error",
    603: "Call rejected",
}


@dataclass(frozen=True, slots=True)
class ResultRule:
    """One line of the table. `statuses` None: whatever else."""

    line: RuleLine
    causes: frozenset[int]
    statuses: frozenset[str] | None
    result: int
    words: str
    """The line in words; not where it stands, so that a comment more, or a file renamed, changes no result."""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Every combination that a line covers."""

    rules: Mapping[tuple[int, str | None], ResultRule]
    lines: tuple[ResultRule, ...]
    """Every line, those that others cover wholly too; the operator's before the shipped."""
    last_attempt_decides: bool
    """A talk that lasted until hangup is a success whatever cause another leg left; the `literal` preset says no."""

    def rule(self, cause: int, dial_status: str | None) -> ResultRule | None:
        """The line for a combination; None: no line, result 0. A text that is not a dial status has none."""
        return self.rules.get((cause, dial_status))


def read_results(section: Section, faults: Faults) -> list[ResultRule]:
    """The rules of a section."""
    return section.table(("cause", "status", "result"), ("cause", "result"), _rule, faults)


def build_table(shipped: list[ResultRule], own: list[ResultRule], faults: Faults) -> ResultTable:
    """The table in force: a line that names the dial status goes first, and the operator's before the shipped.

    Two lines of the operator's, or of the shipped, that claim the same combination are a fault.
    """
    table: dict[tuple[int, str | None], ResultRule] = {}
    for rules in (shipped, own):
        _refuse_overlaps(rules, faults)
    for named in (False, True):
        for rules in (shipped, own):
            for rule in rules:
                if (rule.statuses is not None) == named:
                    table.update(dict.fromkeys(_combinations(rule), rule))
    return ResultTable(table, (*own, *shipped), last_attempt_decides=True)


def build_literal(shipped: list[ResultRule], own: list[ResultRule]) -> ResultTable:
    """The preset `literal`: lines from top to bottom, the first that fits, no override by the talk."""
    table: dict[tuple[int, str | None], ResultRule] = {}
    for rule in (*own, *shipped):
        for combination in _combinations(rule):
            table.setdefault(combination, rule)
    return ResultTable(table, (*own, *shipped), last_attempt_decides=False)


def causes_in_words(causes: Iterable[int]) -> str:
    """`any cause`, `cause 16`, `causes 2-15, 18`."""
    spans: list[list[int]] = []
    for cause in sorted(causes):
        if spans and spans[-1][1] == cause - 1:
            spans[-1][1] = cause
        else:
            spans.append([cause, cause])
    if spans == [[CAUSES[0], CAUSES[-1]]]:
        return "any cause"
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
    return f"cause{'' if spans[0][0] == spans[-1][1] else 's'} {shown}"


def statuses_in_words(statuses: Iterable[str]) -> str:
    """Dial statuses in the order of the table."""
    named = sorted(statuses, key=DIAL_STATUSES.index)
    if len(named) * 2 > len(DIAL_STATUSES):
        others = [status or "empty" for status in DIAL_STATUSES if status not in named]
        return f"any dial status but {', '.join(others)}" if others else "any dial status"
    return f"dial status {', '.join(status or 'empty' for status in named)}"


def result_in_words(result: int) -> str:
    """A result with its name."""
    return f"{result} {RESULT_NAMES[result]}"


def _combinations(rule: ResultRule) -> Iterable[tuple[int, str]]:
    statuses = DIAL_STATUSES if rule.statuses is None else sorted(rule.statuses)
    return ((cause, status) for cause in sorted(rule.causes) for status in statuses)


def _refuse_overlaps(rules: list[ResultRule], faults: Faults) -> None:
    claimed: dict[tuple[bool, int, str], ResultRule] = {}
    for rule in rules:
        named = rule.statuses is not None
        with faults.gathered():
            for cause, status in _combinations(rule):
                other = claimed.setdefault((named, cause, status), rule)
                if other is not rule:
                    shown = f"cause {cause}, dial status {status or 'empty'}"
                    rule.line.refuse(f"{shown} already has a rule at {other.line.place}")


def _rule(line: RuleLine) -> ResultRule:
    causes: set[int] = set()
    for value in line.many("cause"):
        if value == "any":
            causes.update(CAUSES)
            continue
        number = str(value).partition(" ")[0]
        if isinstance(value, bool) or number not in _CAUSES_AS_WRITTEN:
            line.refuse(f"unknown hangup cause {value!r}", ("any", "0 to 127, a name may follow"))
        causes.add(int(number))
    statuses: frozenset[str] | None = None
    if "status" in line.columns:
        named = line.many("status")
        for status in named:
            if not isinstance(status, str) or status not in DIAL_STATUSES:
                line.refuse(f"unknown dial status {status!r}", (repr(each) for each in DIAL_STATUSES))
        statuses = frozenset(named)
    if not causes or statuses == frozenset():
        line.refuse("an empty list covers no combination")
    result = known_result(line, line.columns["result"])
    status_words = "whatever dial status" if statuses is None else statuses_in_words(statuses)
    words = f"{causes_in_words(causes)}, {status_words}: {result_in_words(result)}"
    return ResultRule(line, frozenset(causes), statuses, result, words)


def known_result(line: RuleLine, result: object) -> int:
    """A result that the product has. Raises RulesError."""
    if not isinstance(result, int) or isinstance(result, bool) or result not in RESULT_NAMES:
        line.refuse(f"unknown result {result!r}", RESULT_NAMES)
    return result
