"""Both CRM tables, every line, as call-status.md has them."""

from dataclasses import dataclass

import pytest

from streams.errors import RulesError
from streams.rules import load_rules
from streams.rules.statuses import build_statuses, read_bitrix24, read_kommo
from streams.settings import RuleSettings

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
        ("statuses:\n  - {result: 200, status: '999'}\n", "x.yaml:2: unknown Bitrix24 status '999'"),
        ("statuses:\n  - {result: 200, when: sometimes, status: '200'}\n", "x.yaml:2: unknown condition 'sometimes'"),
        (
            "statuses:\n  - {result: 200, status: '200'}\n  - {result: 200, when: answered, status: '304'}\n",
            "x.yaml:3: result 200 is already decided at x.yaml:2",
        ),
    ],
)
def test_bad_bitrix24_line_is_refused(text: str, told: str) -> None:
    with pytest.raises(RulesError) as refused:
        build_statuses([], read_bitrix24(text, "x.yaml"))
    assert told in str(refused.value)


def test_bad_kommo_status_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(RulesError) as refused:
        read_kommo("statuses:\n  - {result: 200, status: 8}\n", "x.yaml", {})
    assert "x.yaml:2: unknown Kommo status 8" in str(refused.value)
    assert "Allowed: 1, 2, 3, 4, 5, 6, 7." in str(refused.value)
