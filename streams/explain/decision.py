"""The grounds of a call's outcome: the row, the line of the result table, the line of each CRM's table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.calls.result import CallResult
from streams.rules import Rules
from streams.rules.results import RESULT_NAMES
from streams.rules.statuses import StatusRule


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line of a table: where it stands, and what it says."""

    place: str
    """`file:line`."""
    words: str


@dataclass(frozen=True, slots=True)
class CrmGround:
    """The status of one CRM, and the line that gives it."""

    status: str
    meaning: str
    """The status in the CRM's own words."""
    text: str | None
    line: TableLine


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why a call has its result and its statuses."""

    result_line: TableLine | None
    """The table's line for the call's cause and dial status; None: there is none, or no cause."""
    by_table: bool
    """True: that line decided; otherwise a rule that goes before the table did (`CallResult.rule`)."""
    crms: Mapping[str, CrmGround]
    """By CRM, those that have a table of statuses."""


def grounds(result: CallResult, rules: Rules) -> Grounds:
    """The lines under today's rules that fit an outcome."""
    line, by_table = None, False
    if result.extra_usable and result.hangup_cause is not None and result.dial_status is not None:
        rule = rules.results.rule(result.hangup_cause, result.dial_status)
        if rule is not None:
            line = TableLine(rule.line.place, rule.words)
            by_table = rule.words == result.rule
    crms = {}
    for crm, table in rules.tables.items():
        decides = table.rule(result)
        status = decides.status
        crms[crm] = CrmGround(str(status.code), table.meaning(status), status.text, _line(decides, result))
    return Grounds(line, by_table, crms)


def _line(rule: StatusRule, result: CallResult) -> TableLine:
    code = result.result if result.result in rule.results else 0
    words = f"result {code} {RESULT_NAMES[code]}{'' if rule.when == 'always' else f', {rule.when}'}"
    if code != result.result:
        words += f" (no line fits {result.result}: the old way)"
    return TableLine(rule.line.place, words)
