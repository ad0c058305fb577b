"""Both CRM tables, every line, as call-status.md has them."""

from dataclasses import dataclass

import pytest

from streams.rules import load_rules
from streams.settings import RuleSettings
from tests.rules.files import refusal, rules_of

MISSED = "incoming, not answered"
OTHER = "otherwise"
ANSWERED, NOT_ANSWERED = "answered", "not answered"


@dataclass(frozen=True)
class Outcome:
    result: int
    direction: str
    answered: bool


OUTCOMES = {
    MISSED: [("incoming", False)],
    OTHER: [("incoming", True), ("outgoing", False), ("outgoing", True), ("internal", False), ("unknown", False)],
    ANSWERED: [("incoming", True), ("outgoing", True)],
    NOT_ANSWERED: [("incoming", False), ("outgoing", False)],
}
ALWAYS = [*OUTCOMES[MISSED], *OUTCOMES[OTHER]]


@pytest.mark.parametrize(
    ("result", "condition", "status"),
    [
        (200, MISSED, "304"), (200, OTHER, "200"), (404, None, "404"), (405, None, "405"), (408, None, "304"),
        (480, None, "304"), (484, None, "484"), (486, MISSED, "304"), (486, OTHER, "486"), (488, None, "484"),
        (500, None, "500"), (603, None, "603"), (0, ANSWERED, "200"), (0, NOT_ANSWERED, "304"),
    ],
)  # fmt: skip
def test_bitrix24_status(result: int, condition: str | None, status: str) -> None:
    table = load_rules().bitrix24
    for direction, answered in OUTCOMES[condition] if condition else ALWAYS:
        assert table.status(Outcome(result, direction, answered)) == status


@pytest.mark.parametrize(
    ("result", "condition", "status"),
    [
        (200, MISSED, (6, "Missed call")), (200, OTHER, (4, "Success call")), (404, None, (5, "Number out of service")),
        (408, None, (3, "Subscriber did not answer")), (480, None, (3, "Subscriber did not answer")),
        (484, None, (5, "Invalid number")), (486, MISSED, (6, "Number busy")), (486, OTHER, (7, "Number busy")),
        (488, None, (5, "Carrier error")), (603, None, (2, "Call rejected")),
        (0, ANSWERED, (4, None)), (0, NOT_ANSWERED, (6, None)),
        (405, ANSWERED, (4, None)), (405, NOT_ANSWERED, (6, None)),  # no line: the old way
        (500, ANSWERED, (4, None)), (500, NOT_ANSWERED, (6, None)),
    ],
)  # fmt: skip
def test_kommo_status_and_text(result: int, condition: str | None, status: tuple[int, str | None]) -> None:
    table = load_rules().kommo
    for direction, answered in OUTCOMES[condition] if condition else ALWAYS:
        assert table.status(Outcome(result, direction, answered)) == status


@pytest.mark.parametrize(("language", "text"), [("ru", "Пропущенный звонок"), ("de", "Verpasster Anruf")])
def test_texts_come_in_the_operators_language(language: str, text: str) -> None:
    rules = load_rules(RuleSettings.model_validate({"language": language}))
    assert rules.kommo.status(Outcome(200, "incoming", False)).text == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bitrix24:\n  - {result: 200, status: '999'}", "own.yaml:2: unknown Bitrix24 status '999'\nAllowed: 200, 304"),
        ("bitrix24:\n  - {result: 200, when: sometimes, status: 200}", "own.yaml:2: unknown condition 'sometimes'\nA"),
        ("bitrix24:\n  - {result: 201, status: 200}", "own.yaml:2: unknown result 201"),
        ("bitrix24:\n  - {result: [], status: 200}", "own.yaml:2: an empty list of results decides nothing"),
        ("kommo:\n  - {result: 200, status: 8}", "own.yaml:2: unknown Kommo status 8\nAllowed: 1, 2, 3, 4, 5, 6, 7."),
        ("kommo:\n  - {result: 200, status: true}", "own.yaml:2: unknown Kommo status True"),
        ("kommo:\n  - {result: 200, status: 4, text: [a]}", "own.yaml:2: text ['a'] is no text"),
        ("kommo:\n  - {result: 200, status: 4, text: mised_call}", "own.yaml:2: no text is named 'mised_call'\nA"),
    ],
)  # fmt: skip
def test_bad_line_is_refused_with_what_is_allowed(text: str, told: str) -> None:
    assert told in refusal(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{result: 200, status: 2}", "{result: 200, when: answered, status: 3}"),
        ("{result: [0, 603], when: not answered, status: 2}",
         '{result: 603, when: "unknown, not answered", status: 1}'),
        ("{result: 200, when: incoming, status: 2}", "{result: [0, 200], when: incoming, status: 3}"),
    ],
)  # fmt: skip
def test_line_that_leaves_nothing_to_decide_is_refused(first: str, second: str) -> None:
    told = refusal(f"kommo:\n  - {first}\n  - {second}\n")
    assert "own.yaml:3: result" in told
    assert "already decided at own.yaml:2" in told


def test_lines_that_together_leave_nothing_are_told_both() -> None:
    lines = (
        "[{result: 0, when: answered, status: 4}, {result: 0, when: not answered, status: 6}, {result: 0, status: 1}]"
    )
    told = refusal(f"kommo: {lines}\n".replace("}, ", "},\n  "))
    assert "own.yaml:3: result 0, always: already decided at own.yaml:1, own.yaml:2" in told


def test_operators_line_goes_before_the_shipped_one_and_leaves_the_rest() -> None:
    rules = rules_of("bitrix24:\n  - {result: 603, when: 'outgoing, not answered', status: 603-S}\n")
    assert rules.bitrix24.status(Outcome(603, "outgoing", False)) == "603-S"
    assert rules.bitrix24.status(Outcome(603, "incoming", False)) == "603"


def test_every_status_of_both_crms_can_be_mapped_to() -> None:
    known = [
        "200",
        "304",
        "402",
        "403",
        "404",
        "405",
        "423",
        "480",
        "484",
        "486",
        "500",
        "503",
        "603",
        "603-S",
        "OTHER",
    ]
    for status in known:
        rules = rules_of(f"bitrix24:\n  - {{result: 200, status: {status}}}\n")
        assert rules.bitrix24.status(Outcome(200, "incoming", True)) == status
    for number in range(1, 8):
        rules = rules_of(f"kommo:\n  - {{result: 200, status: {number}, text: In words}}\n")
        assert rules.kommo.status(Outcome(200, "incoming", True)) == (number, "In words")
