"""Direction patterns as an operator edits them: which side a context, an endpoint and a number are on."""

from pathlib import Path

import pytest

from streams.calls.pbx_profile import PbxProfile
from streams.rules import load_directions
from streams.settings import Settings
from tests.rules.files import refusal


def profile(tmp_path: Path, text: str, **numbers: object) -> PbxProfile:
    own = tmp_path / "own.yaml"
    own.write_text(f"directions:\n{text}", encoding="utf-8")
    return PbxProfile.of(Settings.model_validate({"rules": {"directions_file": own}, "numbers": numbers}))


@pytest.mark.parametrize(
    ("context", "side"),
    [
        ("from-trunk", "outside"), ("from-trunk-sip-megafon", "outside"), ("from-pstn", "outside"),
        ("from-sip-external", "outside"), ("from-internal", "inside"), ("from-internal-xfer", "inside"),
        ("ext-local", "inside"), ("internal", "inside"),
        ("from-trunks", None), ("my-from-trunk", None), ("from-intern", None), ("", None),
    ],
)  # fmt: skip
def test_usual_contexts_tell_the_side(context: str, side: str | None) -> None:
    rule = load_directions().of_context(context)
    assert (rule.side if rule else None) == side


def test_operators_line_goes_before_the_shipped_one(tmp_path: Path) -> None:
    own = profile(tmp_path, "  - {context: [from-trunk-staff, 'gsm*'], side: inside}\n").directions
    found = [own.of_context(each) for each in ("from-trunk-staff", "from-trunk-staff-2", "gsm-7", "from-trunk")]
    assert [rule.side for rule in found if rule] == ["inside", "inside", "inside", "outside"]


def test_endpoint_line_puts_a_phone_or_a_trunk_on_its_side(tmp_path: Path) -> None:
    own = profile(tmp_path, "  - {endpoint: [reception, 'door*'], side: inside}\n").directions
    assert own.of_endpoint("door2")
    assert own.of_endpoint("reception")
    assert not own.of_endpoint("reception2")


def test_short_number_is_an_extension_unless_a_line_puts_it_outside(tmp_path: Path) -> None:
    assert PbxProfile().is_extension("1001")
    assert not PbxProfile().is_extension("10001")
    own = profile(tmp_path, "  - {digits: 3-5, side: inside}\n  - {number: '11[02]', side: outside}\n")
    assert [each for each in ("12", "112", "1001", "10001", "100001") if own.is_extension(each)] == ["1001", "10001"]


def test_number_line_takes_mobile_staff_inside(tmp_path: Path) -> None:
    own = profile(tmp_path, "  - {number: ['7916111\\d{4}', '7495.*'], side: inside}\n")
    assert own.is_staff("79161112233")
    assert own.is_staff("74951112233")
    assert not own.is_staff("791611122334")


def test_setting_for_extensions_goes_before_the_line(tmp_path: Path) -> None:
    assert profile(tmp_path, "  - {digits: 3-5, side: inside}\n", internal_digits=2).is_extension("12")


def test_operators_word_for_a_missing_number_is_added(tmp_path: Path) -> None:
    own = profile(tmp_path, "  - {no_number: Скрыт}\n")
    assert own.directions.no_number >= {"скрыт", "anonymous"}


@pytest.mark.parametrize(
    "text",
    [
        "  - {context: gsm, side: outside}\n",
        "  - {number: '11.', side: outside}\n",
        "  - {digits: 1-5, side: inside}\n",
        "  - {no_number: hidden}\n",
    ],
)
def test_every_line_changes_the_hash(tmp_path: Path, text: str) -> None:
    assert profile(tmp_path, text).hash != PbxProfile().hash


@pytest.mark.parametrize(
    "settings",
    [
        {"numbers": {"internal_digits": 5}}, {"numbers": {"internal_patterns": ["7.*"]}},
        {"numbers": {"trunks": ["t1"]}}, {"numbers": {"region": "DE"}}, {"numbers": {"rewrite": [["^8", "+7"]]}},
        {"aggregate": {"bridges_logged": False}}, {"database": {"column_name_aliases": {"cel_extra": "id"}}},
    ],
)  # fmt: skip
def test_every_setting_that_can_change_an_outcome_changes_the_hash(settings: dict[str, object]) -> None:
    assert PbxProfile.of(Settings.model_validate(settings)).hash != PbxProfile.of(Settings()).hash


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  - {context: x}\n", "own.yaml:2: unknown side None"),
        ("  - {context: x, side: left}\n", "own.yaml:2: unknown side 'left'"),
        ("  - {side: inside}\n", "own.yaml:2: a line is about one subject"),
        ("  - {context: x, number: y, side: inside}\n", "own.yaml:2: a line is about one subject"),
        ("  - {context: [], side: inside}\n", "own.yaml:2: context holds no text"),
        ("  - {context: {a: b}, side: inside}\n", "own.yaml:2: context holds no text"),
        ("  - {number: '(', side: inside}\n", "own.yaml:2: no regular expression: missing )"),
        ("  - {digits: 4-1, side: inside}\n", "own.yaml:2: '4-1' is not a number of digits"),
        ("  - {digits: few, side: inside}\n", "own.yaml:2: 'few' is not a number of digits"),
        ("  - {no_number: x, side: inside}\n", "own.yaml:2: no_number has no side"),
    ],
)
def test_bad_line_is_refused_with_file_line_and_reason(text: str, told: str) -> None:
    assert told in refusal(f"directions:\n{text}")
