"""A CRM's table as it is shipped has a status for every call: result 0 in any case, for all others fall back on it."""

import pytest

from streams.errors import RulesError
from streams.rules.lines import RuleLine
from streams.rules.statuses import CrmStatus, StatusRule, refuse_gaps

PLACE = RuleLine("callbook.yaml", 1)
WAYS = ("incoming", "outgoing", "internal", "unknown")


def rule(when: str, result: int = 0) -> StatusRule:
    return StatusRule(PLACE, frozenset({result}), when, CrmStatus(1))


@pytest.mark.parametrize(
    "rules", [[rule("always")], [rule("answered"), rule("not answered")], [rule("always", 200), rule("always")]]
)
def test_a_table_that_covers_result_0_is_taken(rules: list[StatusRule]) -> None:
    refuse_gaps(rules, PLACE)


@pytest.mark.parametrize(
    ("rules", "gaps"),
    [
        ([rule("answered")], [f"{way}, not answered" for way in WAYS]),
        (
            [rule("answered"), rule("incoming, not answered"), rule("outgoing"), rule("internal")],
            ["unknown, not answered"],
        ),
        (
            [rule("not answered"), rule("always", 200)],
            [f"{way}, answered" for way in WAYS],
        ),
    ],
)
def test_calls_without_a_line_are_named(rules: list[StatusRule], gaps: list[str]) -> None:
    with pytest.raises(RulesError) as refused:
        refuse_gaps(rules, PLACE)
    assert str(refused.value).startswith("callbook.yaml:1: result 0 has no line for: ")
    told = str(refused.value).split("for: ")[1].splitlines()[0]
    assert sorted(told.split("; ")) == sorted(gaps)
