"""The rules in force as lines to print: the columns of docs/call-status.md, and where each line comes from."""

from streams.calls.pbx_profile import PbxProfile
from streams.rules import Rules
from streams.rules.difference import side_in_words
from streams.rules.results import CAUSES, DIAL_STATUSES, result_in_words
from streams.rules.statuses import StatusRule

Line = dict[str, object]


def results(rules: Rules, _profile: PbxProfile) -> list[Line]:
    """The result table, with the number of combinations that each line decides."""
    in_force = list(rules.results.rules.values())
    return [
        {
            "hangup_cause": line.line.many("cause"),
            "dial_status": line.line.many("status") if line.statuses is not None else None,
            "result": result_in_words(line.result),
            "decides": sum(each is line for each in in_force),
            "from": line.line.place,
        }
        for line in rules.results.lines
    ]


def statuses(crm: str, rules: Rules) -> list[Line]:
    """A CRM's table."""
    table = rules.tables[crm]
    lines: list[Line] = []
    for rule in table.rules:
        text = {"text": rule.status.text} if table.codes.with_text else {}
        meaning = {"status": rule.status.code, "meaning": table.meaning(rule.status)}
        lines.append(_start(rule) | meaning | text | {"from": rule.line.place})
    return lines


def texts(rules: Rules, _profile: PbxProfile) -> list[Line]:
    """The texts of the language in force."""
    return [
        {"name": name, "text": text.words, "language": text.language, "from": text.line.place}
        for name, text in rules.texts.items()
    ]


def directions(_rules: Rules, profile: PbxProfile) -> list[Line]:
    """The lines that tell inside from outside: the settings, then the patterns."""
    told: list[Line] = []
    for subject, values, side, setting in (
        ("number", [pattern.pattern for pattern in profile.internal_patterns], "inside", "numbers.internal_patterns"),
        ("endpoint", list(profile.trunks), "outside", "numbers.trunks"),
        (
            "digits",
            [f"1-{profile.internal_digits}"] if profile.internal_digits else [],
            "inside",
            "numbers.internal_digits",
        ),
    ):
        if values:
            told.append({"subject": subject, "pattern": values, "side": side, "from": setting})
    for rule in profile.directions.lines:
        side = rule.side or side_in_words(rule, "")
        told.append({"subject": rule.subject, "pattern": list(rule.values), "side": side, "from": rule.line.place})
    return told


def tables_of(rules: Rules, site: PbxProfile) -> dict[str, list[Line]]:
    """Every table by name, in the order in which it is shown."""
    return {
        "results": results(rules, site),
        **{crm: statuses(crm, rules) for crm in rules.tables},
        "texts": texts(rules, site),
        "directions": directions(rules, site),
    }


def matrix(rules: Rules) -> list[Line]:
    """Every combination of hangup cause and dial status."""
    lines: list[Line] = []
    for cause in CAUSES:
        for status in DIAL_STATUSES:
            rule = rules.results.rule(cause, status)
            result, _, name = result_in_words(rule.result if rule else 0).partition(" ")
            place = rule.line.place if rule else None
            lines.append(
                {"hangup_cause": cause, "dial_status": status, "result": int(result), "name": name, "from": place}
            )
    return lines


def _start(rule: StatusRule) -> Line:
    when = None if rule.when == "always" else rule.when
    return {"result": [result_in_words(result) for result in sorted(rule.results)], "condition": when}
