"""Both CRM tables, every line, as docs/call-status.md has them."""

from itertools import product

import pytest

from streams.rules import load_rules
from streams.rules.statuses import CallFeatures
from streams.settings import RuleSettings
from tests.rules import specification
from tests.rules.files import refusal, rules_of

EVERY_OUTCOME = [
    CallFeatures(*each) for each in product(specification.RESULTS, specification.DIRECTIONS, (True, False))
]


def test_bitrix24_status_of_every_result_direction_and_answer() -> None:
    table = load_rules().tables["bitrix24"]
    different = {
        call: (found, wanted)
        for call in EVERY_OUTCOME
        if (found := table.status(call).code) != (wanted := specification.bitrix24_status(*call))
    }
    assert different == {}


def test_kommo_status_and_text_of_every_result_direction_and_answer() -> None:
    table = load_rules().tables["kommo"]
    different = {
        call: (found, wanted)
        for call in EVERY_OUTCOME
        if (found := table.status(call)) != (wanted := specification.kommo_status(*call))
    }
    assert different == {}


@pytest.mark.parametrize(
    ("result", "direction", "answered", "bitrix24", "kommo"),
    [
        (200, "incoming", False, "304", (6, "Missed call")), (200, "outgoing", False, "200", (4, "Success call")),
        (405, "incoming", True, "405", (4, None)), (405, "outgoing", False, "405", (6, None)),
        (500, "outgoing", True, "500", (4, None)), (500, "incoming", False, "500", (6, None)),
        (486, "unknown", False, "486", (7, "Number busy")), (0, "internal", False, "304", (6, None)),
    ],
)  # fmt: skip
def test_statuses_that_the_specification_decides_by_name(
    result: int, direction: str, answered: bool, bitrix24: str, kommo: tuple[int, str | None]
) -> None:
    assert load_rules().tables["bitrix24"].status(CallFeatures(result, direction, answered)).code == bitrix24
    assert load_rules().tables["kommo"].status(CallFeatures(result, direction, answered)) == kommo


@pytest.mark.parametrize(("language", "text"), [("ru", "Пропущенный звонок"), ("de", "Verpasster Anruf")])
def test_texts_come_in_the_operators_language(language: str, text: str) -> None:
    rules = load_rules(RuleSettings.model_validate({"language": language}))
    assert rules.tables["kommo"].status(CallFeatures(200, "incoming", False)).text == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bitrix24:\n  - {result: 200, status: '999'}", "own.yaml:2: unknown Bitrix24 status '999'\nAllowed: 200, 304"),
        ("bitrix24:\n  - {result: 200, when: sometimes, status: 200}",
         "own.yaml:2: unknown condition 'sometimes'\nAllowed: 'always', "),
        ("bitrix24:\n  - {result: 201, status: 200}", "own.yaml:2: unknown result 201"),
        ("bitrix24:\n  - {result: [], status: 200}", "own.yaml:2: an empty list of results decides nothing"),
        ("bitrix24:\n  - {result: 200, status: 200, text: Success}",
         "own.yaml:2: unknown column text\nAllowed: result, when, status."),
        ("kommo:\n  - {result: 200, status: 8}", "own.yaml:2: unknown Kommo status 8\nAllowed: 1, 2, 3, 4, 5, 6, 7."),
        ("kommo:\n  - {result: 200, status: true}", "own.yaml:2: unknown Kommo status True"),
        ("kommo:\n  - {result: 200, status: 4, text: [a]}", "own.yaml:2: text ['a'] is not a text"),
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
    assert rules.tables["bitrix24"].status(CallFeatures(603, "outgoing", False)).code == "603-S"
    assert rules.tables["bitrix24"].status(CallFeatures(603, "incoming", False)).code == "603"


def test_a_table_has_its_crms_name() -> None:
    assert {name: table.title for name, table in load_rules().tables.items()} == {
        "bitrix24": "Bitrix24",
        "kommo": "Kommo",
    }


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
        assert rules.tables["bitrix24"].status(CallFeatures(200, "incoming", True)).code == status
    for number in range(1, 8):
        rules = rules_of(f"kommo:\n  - {{result: 200, status: {number}, text: In words}}\n")
        assert rules.tables["kommo"].status(CallFeatures(200, "incoming", True)) == (number, "In words")


@pytest.mark.parametrize("how", ["setting", "file"])
def test_preset_missed_is_304_changes_unanswered_incoming_calls_of_bitrix24_alone(how: str) -> None:
    rules = rules_of("preset: missed_is_304\n") if how == "file" else load_rules(RuleSettings(preset="missed_is_304"))
    plain = load_rules()
    for call in EVERY_OUTCOME:
        missed = call.direction == "incoming" and not call.answered
        before = plain.tables["bitrix24"].status(call).code
        assert rules.tables["bitrix24"].status(call).code == ("304" if missed else before), call
        assert rules.tables["kommo"].status(call) == plain.tables["kommo"].status(call)
    assert rules.hash != plain.hash and rules.results == plain.results


def test_an_operators_own_line_goes_before_the_presets() -> None:
    rules = rules_of("preset: missed_is_304\nbitrix24:\n  - {result: 603, status: '603'}\n")
    assert rules.tables["bitrix24"].status(CallFeatures(603, "incoming", False)).code == "603"
    assert rules.tables["bitrix24"].status(CallFeatures(404, "incoming", False)).code == "304"
