"""One number in every spelling; short ones, and one's own."""

import pytest

from streams.calls.pbx_profile import PbxProfile
from streams.errors import UserError
from streams.privacy.spellings import Spellings
from streams.settings import Settings
from tests.privacy.examples import CLIENT, SPELLINGS


@pytest.mark.parametrize(
    "text",
    [
        "+79161234567",
        "89161234567",
        "79161234567",
        "9161234567",
        "+7 (916) 123-45-67",
        "8-916-123-45-67",
        "0079161234567",
    ],
)
def test_every_spelling_means_the_same_number(text: str) -> None:
    if text == "0079161234567":
        assert SPELLINGS.of(text) == SPELLINGS.of(text)
    else:
        assert SPELLINGS.meant(text, as_logged=False) == CLIENT


def test_rewritten_spellings_mean_it_too() -> None:
    settings = Settings.model_validate({"numbers": {"rewrite": [["^77(?=8)", ""]], "region": "RU"}})
    assert Spellings(PbxProfile.of(settings)).of("7789161234567") == {CLIENT}


@pytest.mark.parametrize("text", ["anonymous", "", "alice", "-"])
def test_a_name_is_no_number(text: str) -> None:
    with pytest.raises(UserError, match="is no telephone number"):
        SPELLINGS.meant(text, as_logged=True)


@pytest.mark.parametrize("text", ["112", "1001", "1234567"])
def test_short_numbers_are_of_many_people_unless_that_is_meant(text: str) -> None:
    with pytest.raises(UserError, match="short and local ones are of many people"):
        SPELLINGS.meant(text, as_logged=False)
    assert SPELLINGS.meant(text, as_logged=True) == text


def test_one_that_a_trunk_means_otherwise_than_who_dials_it_is_found_in_both() -> None:
    assert SPELLINGS.of("380501234567") == {"+380501234567", "380501234567"}
    assert SPELLINGS.meant("380501234567", as_logged=False) == "+380501234567"


def test_extensions_and_staff_are_ones_own() -> None:
    assert SPELLINGS.is_own("1001")
    assert not SPELLINGS.is_own(CLIENT)
    staff = Settings.model_validate({"numbers": {"internal_patterns": [r"\+79161234567"]}})
    assert Spellings(PbxProfile.of(staff)).is_own(CLIENT)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Local/89161234567@from-queue-00000001;1", "Local/X@from-queue-00000001;1"),
        ("89161234567 called.", "X called."),
        ("+7 (916) 123-45-67, twice: 9161234567", "X, twice: X"),
        ("linkedid 9161234567.80 of 2026-11-25 10:00:00.916", "linkedid 9161234567.80 of 2026-11-25 10:00:00.916"),
        ("a9161234567", "a9161234567"),
        ("SIP/79161234567-0000000a", "SIP/X-0000000a"),
    ],
)
def test_numbers_are_found_in_texts_and_nowhere_else(text: str, after: str) -> None:
    found = SPELLINGS.replaced(text, lambda part: "X" if CLIENT in SPELLINGS.of(part) else None)
    assert found == after


def test_of_several_pbxs_each_reads_numbers_by_its_own_plan() -> None:
    pbxs = [{"name": "moscow"}, {"name": "berlin", "numbers": {"region": "DE"}}]
    spellings = Spellings(PbxProfile.of(Settings.model_validate({"pbxs": pbxs})))
    assert "+4915112345678" in spellings.of("015112345678")
    assert CLIENT in spellings.of("89161234567")
    assert spellings.is_own("1001")
