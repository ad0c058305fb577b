"""An operator's rule file: its sections, its texts, and every fault told at once."""

from pathlib import Path
from typing import Literal

import pytest

from streams.errors import RulesError
from streams.rules import load_rules
from streams.rules.statuses import CallFeatures
from streams.settings import RuleSettings
from tests.rules.files import refusal, rules_of

MISSED = CallFeatures(200, "incoming", False)

ALL_SECTIONS = """
preset: literal
language: fr
results:
  - {cause: 102, result: 408}
bitrix24:
  - {result: 603, status: 603-S}
kommo:
  - {result: 500, status: 1, text: technical_fault}
texts:
  fr: {missed_call: Appel manqué, technical_fault: Panne}
directions:
  - {context: gsm, side: outside}
"""


def test_one_file_may_hold_every_section() -> None:
    rules = rules_of(ALL_SECTIONS)
    assert not rules.results.last_attempt_decides
    assert (rule := rules.results.rule(102, "")) and rule.result == 408
    assert rules.tables["bitrix24"].status(CallFeatures(603, "incoming", False)).code == "603-S"
    assert rules.tables["kommo"].status(CallFeatures(500, "outgoing", True)) == (1, "Panne")
    assert rules.tables["kommo"].status(MISSED).text == "Appel manqué"
    assert rules.directions.of_context("gsm")


def test_example_of_the_page_is_good() -> None:
    page = (Path(__file__).parents[2] / "docs/call-status.md").read_text(encoding="utf-8")
    example = page.partition("## Change the rules")[2].partition("    cel2crm rules check")[0]
    text = "\n".join(line[4:] for line in example.splitlines() if line.startswith("    "))
    rules = rules_of(text)
    assert rules.tables["kommo"].status(CallFeatures(480, "incoming", False)) == (6, "Fermé")


def test_separate_files_add_to_the_one_and_may_say_statuses(tmp_path: Path) -> None:
    own = {name: tmp_path / f"{name}.yaml" for name in ("file", "bitrix24_file", "kommo_file")}
    own["file"].write_text("results:\n  - {cause: 102, result: 408}\n")
    own["bitrix24_file"].write_text("statuses:\n  - {result: 603, status: '304'}\n")
    own["kommo_file"].write_text("statuses:\n  - {result: 603, status: 7}\n")
    rules = load_rules(RuleSettings.model_validate(own))
    assert rules.results.rule(102, "")
    assert rules.tables["bitrix24"].status(CallFeatures(603, "incoming", False)).code == "304"
    assert rules.tables["kommo"].status(CallFeatures(603, "incoming", False)) == (7, None)


def test_language_lacking_a_text_has_it_in_english() -> None:
    rules = rules_of("texts:\n  fr: {missed_call: Appel manqué}\n", language="fr")
    assert rules.tables["kommo"].status(MISSED).text == "Appel manqué"
    assert rules.tables["kommo"].status(CallFeatures(603, "incoming", False)).text == "Call rejected"


def test_single_text_can_be_put_otherwise() -> None:
    rules = rules_of("texts:\n  ru: {missed_call: Потерянный}\n", language="ru")
    assert rules.tables["kommo"].status(MISSED).text == "Потерянный"
    assert rules.tables["kommo"].status(CallFeatures(603, "incoming", False)).text == "Звонок отклонён"


def test_norwegian_is_a_language_and_no_truth_value() -> None:
    assert (
        rules_of("language: no\ntexts:\n  no: {missed_call: Tapt anrop}\n").tables["kommo"].status(MISSED).text
        == "Tapt anrop"
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "results:\n  []\n", "texts: {}\n", "texts: {fr: {}}\n"])
def test_file_without_lines_changes_nothing(text: str) -> None:
    assert rules_of(text).hash == load_rules().hash


def test_every_fault_of_every_section_is_told_at_once() -> None:
    told = refusal(
        "preset: strict\n"
        "results:\n"
        "  - {cause: 128, result: 200}\n"
        "  - {cause: 16, result: 201}\n"
        "  - {cause: 17, result: 486}\n"
        "  - {cause: 17, result: 480}\n"
        "bitrix24: 3\n"
        "kommo:\n"
        "  - {result: 200, status: 9}\n"
        "statusses: []\n"
        "directions:\n"
        "  - {context: x, side: left}\n"
    )
    lines = [line for line in told.splitlines() if "own.yaml:" in line]
    assert sorted(int(line.split(":")[1]) for line in lines) == [1, 3, 4, 6, 7, 9, 10, 12]
    assert told.startswith("8 faults in the rules:")
    assert "Allowed: default, literal, missed_is_304." in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("results: [\n", "own.yaml:2: not valid YAML: "),
        ("\x00", "not valid YAML"),
        ("- results\n", "own.yaml:1: a rule file must hold names, each with a colon\nAllowed: preset, "),
        ("reslts: []\n", "own.yaml:1: unknown section 'reslts'\nAllowed: preset, language, results"),
        ("results: []\nresults: []\n", "own.yaml:2: 'results' stands here twice"),
        ("? [a]\n: 1\n", "own.yaml:1: a list or a mapping is not a name"),
        ("results: 3\n", "own.yaml:1: results must be a list of lines such as `- {cause: ..., status: ...,"),
        ("results:\n  - 17\n", "own.yaml:2: not a mapping of columns to values\nAllowed: cause, status, result."),
        ("results:\n  - {cause: 17, reslut: 486}\n", "own.yaml:2: unknown column reslut\nAllowed: cause, status, re"),
        ("results:\n  - {cause: 17}\n", "own.yaml:2: column result is missing"),
        ("results:\n  - {cause: 17, cause: 18, result: 486}\n", "own.yaml:2: 'cause' stands here twice"),
        ("results:\n  - {cause: !!python/name:os.system 1, result: 486}\n", "own.yaml:2: cause: could not determine"),
        ("results:\n  - {cause: 2026-99-99, result: 486}\n", "own.yaml:2: cause: month must be in 1..12"),
        ("preset: [literal]\n", "own.yaml:1: unknown preset ''\nAllowed: default, literal, missed_is_304."),
        ("language: tlh\n", "own.yaml:1: unknown language 'tlh'\nAllowed: en, ru, de."),
        ("texts: [fr]\n", "own.yaml:1: texts must hold names, each with a colon"),
        ("texts:\n  fr: Bonjour\n", "own.yaml:2: fr must hold names, each with a colon"),
        ("texts:\n  fr:\n    missed_call: ' '\n", "own.yaml:3: text 'missed_call' in 'fr' has no words"),
        ("texts:\n  fr:\n    mised_call: Manqué\n", "own.yaml:3: no line uses the text 'mised_call'\nAllowed: miss"),
    ],
)  # fmt: skip
def test_file_that_is_no_rule_file_is_refused_with_its_place(text: str, told: str) -> None:
    assert told in refusal(text)


def test_unknown_language_in_the_settings_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(RulesError, match=r"rules\.language: no texts in 'fr'\nAllowed: en, ru, de\."):
        load_rules(RuleSettings(language="fr"))


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_rules(RuleSettings(file=tmp_path / "nowhere.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"texts: {fr: {missed_call: manqu\xe9}}\n")
    with pytest.raises(RulesError, match=r"latin\.yaml: not UTF-8: invalid continuation byte at byte 31"):
        load_rules(RuleSettings(file=tmp_path / "latin.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "preset: literal\n", "language: ru\n", "results:\n  - {cause: 102, result: 408}\n",
        "bitrix24:\n  - {result: 603, when: incoming, status: 304}\n", "kommo:\n  - {result: 603, status: 7}\n",
        "texts:\n  en: {missed_call: Missed}\n",
    ],
)  # fmt: skip
def test_hash_changes_with_every_outcome(text: str) -> None:
    assert rules_of(text).hash != load_rules().hash


def test_hash_names_the_outcomes_and_not_the_file() -> None:
    text = "results:\n  - {cause: 102, result: 408}\n  - {cause: 103, result: 408}\n"
    other = "# why\nresults:\n\n  - {cause: 103, result: 408}\n  - {cause: 102, result: 408}\n"
    assert rules_of(text).hash == rules_of(other).hash
    assert rules_of("kommo:\n  - {result: 603, status: 2, text: Call rejected}\n").hash == load_rules().hash


@pytest.mark.parametrize(
    ("preset", "language", "named"),
    [
        ("default", "en", "31028bfabfd3"), ("default", "ru", "46f70cb4d569"), ("default", "de", "34bd511a3c4c"),
        ("literal", "en", "dbe8495eb302"), ("literal", "ru", "959ac10f0427"), ("literal", "de", "a3591da3106d"),
    ],
)  # fmt: skip
def test_the_shipped_rules_have_the_hash_that_results_on_kafka_name(
    preset: Literal["default", "literal"], language: str, named: str
) -> None:
    """As release 0.1.0 computed it. It changes only where a shipped table does."""
    assert load_rules(RuleSettings(preset=preset, language=language)).hash == named
