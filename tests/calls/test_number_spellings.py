"""Spellings of numbers that the table of regions (test_numbers.py) does not hold: URIs, rewriting, withheld forms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.calls.numbers import Rewrites, normalised

MOBILE = "+79161234567"


def told(
    number: str,
    region: str = "RU",
    rewrite: Rewrites = (),
    no_number: frozenset[str] = frozenset(),
    *,
    dialled: bool = False,
) -> str | None:
    return normalised(number, region, rewrite, no_number, dialled=dialled)


@pytest.mark.parametrize(
    "number",
    [
        *("sip:+79161234567@carrier.example:5060", "SIPS:79161234567@carrier.example", "TEL:+79161234567"),
        *("sip:79161234567;phone-context=+7@carrier.example", "79161234567@10.0.0.1@10.0.0.2"),
        *("tel:79161234567;isub=1;phone-context=+7", "%2b79161234567%40carrier", "+7 (916) 123-45-67"),
    ],
)
def test_of_a_uri_the_user_part_counts(number: str) -> None:
    assert told(number) == MOBILE


@pytest.mark.parametrize("scheme", ["sip:", "SIP:", "sips:", "Sips:", "tel:", "TEL:"])
def test_the_scheme_of_a_uri_is_no_part_of_the_number(scheme: str) -> None:
    assert told(f"{scheme}101") == "101"  # though its letters outnumber the digits
    assert told(f"{scheme}89161234567", rewrite=((re.compile(r"^8\d{10}$"), "79035550000"),)) == "+79035550000"


def test_rewriting_goes_first_line_after_line_and_everywhere_in_the_number() -> None:
    lines = ((re.compile(r"^9(8\d{10})$"), r"\1"), (re.compile(r"^8"), "+7"), (re.compile("x"), ""))
    assert told("989161234567", rewrite=lines) == MOBILE
    assert told("8x916x1234567", rewrite=lines) == MOBILE
    assert told("989161234567", rewrite=lines[1:]) == "989161234567"
    assert told("sip:8x9161234567@carrier", rewrite=((re.compile("^8x"), "8"),)) == MOBILE  # of the user part
    assert told("withheld-1", rewrite=((re.compile(r".*-1$"), "89161234567"),)) == MOBILE


def test_what_stands_for_a_missing_number_is_none_whatever_digits_it_holds() -> None:
    missing = frozenset({"nocid89161234567"})
    assert told("NoCid89161234567", no_number=missing) is None
    assert told("NoCid89161234567") == MOBILE
    assert told("hidden", rewrite=((re.compile("hidden"), "nocid89161234567"),), no_number=missing) is None


@pytest.mark.parametrize(
    ("number", "right"),
    [
        ("ab12", "12"),  # as many digits as other characters
        ("abc12", None),
        ("1" * 20, "1" * 20),
        ("1" * 21, None),  # E.164 ends at 15; nothing longer than 20 is a number
        ("+123", "+123"),
        ("8916X1234567", MOBILE),
        ("70", "70"),
        ("12", "12"),
        ("007", None),  # what a gateway puts before a country code, and the code
        ("5", None),
    ],
)
def test_whether_a_text_holds_a_number(number: str, right: str | None) -> None:
    assert told(number) == right


@pytest.mark.parametrize(
    ("region", "number", "right"),
    [
        ("RU", "+84951234567", "+84951234567"),  # Vietnam as it is written; 8 495 123-45-67 only where it is nothing
        ("RU", "+9161234567", "+9161234567"),  # no national prefix: not a national number
        ("RU", "916+1234569", "+79161234569"),  # not before the digits: no plus
        ("RU", "9+161234567", "+79161234567"),
        ("DE", "+15112345678", "+15112345678"),
        ("IT", "+612345678", "+612345678"),  # a plan without a national prefix
        ("US", "+0119876", "+0119876"),
        ("US", "+5215512345678", "+525512345678"),  # Mexico's withdrawn 1, whatever the region
        ("US", "+5215512", "+5215512"),
        ("RU", "+00999", "+00999"),
    ],
)
def test_a_plus_says_that_the_country_code_follows_and_is_never_lost(region: str, number: str, right: str) -> None:
    assert told(number, region) == right


@pytest.mark.parametrize(
    ("region", "number", "right"),
    [
        ("RU", "4930123456", "+74930123456"),  # as long as Russia's own: never another country's
        ("RU", "493012345", "493012345"),  # too short to be another country's without a plus
        ("RU", "49301234567", "+49301234567"),
        ("US", "49301234567", "+49301234567"),
        ("CA", "912125551234", "+912125551234"),  # 9 and the United States: no number of Canada's own
        ("CA", "914165551234", "914165551234"),  # 9 and Toronto
        ("RU", "079161234567", "079161234567"),  # 0 for an outside line
        ("GB", "9442079460018", "9442079460018"),
        ("DE", "0390612345678", "+49390612345678"),  # Salzwedel: the region's own plan goes first
    ],
)
def test_another_countrys_number_without_a_plus(region: str, number: str, right: str) -> None:
    assert told(number, region) == right


@pytest.mark.parametrize(
    ("number", "right"),
    [
        ("0445512345678", "+525512345678"),
        ("0455512345678", "+525512345678"),
        ("015512345678", "+525512345678"),
        ("0155123", "0155123"),
        ("0455512", "0455512"),
        ("045", "045"),
    ],
)
def test_mexicos_withdrawn_prefixes_are_taken_away_where_a_number_is_left(number: str, right: str) -> None:
    assert told(number, "MX") == right


@given(st.from_regex(r"9[0-9]{9}", fullmatch=True), st.booleans())
def test_every_spelling_of_a_valid_number_is_one_client(national: str, dialled: bool) -> None:
    right = told(f"+7{national}")
    if right == told(f"8{national}"):  # valid in Russia, or in the Kazakhstan that shares its code
        spellings = (f"7{national}", f"007{national}", f"tel:+7{national}", f"sip:8{national}@carrier")
        assert {told(each, dialled=dialled) for each in spellings} == {right}


@given(st.text(max_size=30), st.sampled_from(["RU", "DE", "US", "MX", "IT", "XX"]), st.booleans())
def test_any_text_is_a_number_or_none_and_reading_it_again_changes_nothing(
    text: str, region: str, dialled: bool
) -> None:
    number = told(text, region, dialled=dialled)
    assert number is None or re.fullmatch(r"\+?[0-9]{1,20}", number)
    if number is not None and number.startswith("+"):
        assert told(number, region, dialled=dialled) == number
