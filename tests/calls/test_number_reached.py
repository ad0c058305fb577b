"""Whom a call that went out reached: of the number dialled and those that trunks were given, the client's."""

import re

import pytest

from streams.calls.facts import Channel
from streams.calls.number_reached import number_reached
from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import CelRow


def leg(number: str) -> Channel:
    """A trunk's channel; `~` before a number: it is a caller id, and not what Dial() was given."""
    name = "PJSIP/mts-02"
    channel = Channel("1795389780.1", name, CelRow(2, "CHAN_START", "", "1795389780.0", channame=name), 0, True)
    channel.number, channel.number_dialled = number.removeprefix("~"), not number.startswith("~")
    return channel


def reached(called: str | None, *numbers: str, region: str = "RU", staff: str = "-") -> tuple[str | None, str | None]:
    profile = PbxProfile(region=region, internal_patterns=(re.compile(staff),))
    return number_reached(called, [leg(each) for each in numbers], profile)


def test_where_nothing_tells_the_number_there_is_no_client() -> None:
    assert reached(None) == reached("*6001") == reached("101") == (None, None)
    assert reached(None, "79161234567") == (None, None)
    assert reached("*6001", "") == (None, None)


@pytest.mark.parametrize("called", ["*6001", "alice", "101", "+", "0000000"])
@pytest.mark.parametrize(
    ("numbers", "client"),
    [
        (["79161234567"], ("79161234567", "+79161234567")),
        (["", "79161234567"], ("79161234567", "+79161234567")),
        (["22334"], ("22334", "22334")),
        (["22334", "79161234567"], ("79161234567", "+79161234567")),  # the valid one
        (["22334", "33445"], ("22334", "22334")),
        (["~79161234567", "6001234"], ("6001234", "6001234")),  # what Dial() was given goes before a caller id
        (["~6001234"], ("6001234", "6001234")),
        (["79165550000", "79161234567"], ("79161234567", "+79161234567")),  # the first is a colleague's mobile
    ],
)
def test_a_speed_dial_or_a_feature_code_reached_what_the_trunk_was_given(
    called: str, numbers: list[str], client: tuple[str, str]
) -> None:
    assert reached(called, *numbers, staff=r"7916555\d{4}") == client


@pytest.mark.parametrize(
    ("called", "numbers", "client"),
    [
        ("89161234567", [], ("89161234567", "+79161234567")),
        ("89161234567", ["79165550000"], ("89161234567", "+79161234567")),  # another one: a mobile that rang before
        ("6001234", [], ("6001234", "6001234")),
        ("6001234", ["5550000"], ("6001234", "6001234")),
        ("6001234", ["~79161234567"], ("6001234", "6001234")),
        ("6001234", ["79161234567"], ("79161234567", "+79161234567")),  # a speed dial that looks like a local number
        ("6001234", ["~1", "5550000", "79161234567"], ("79161234567", "+79161234567")),
        ("6001234", ["5550000", "8005553535"], ("8005553535", "+78005553535")),
    ],
)
def test_a_number_that_the_trunk_was_not_given_counts_as_dialled_where_it_can_be_called(
    called: str, numbers: list[str], client: tuple[str, str]
) -> None:
    assert reached(called, *numbers) == client


@pytest.mark.parametrize(
    ("region", "called", "given", "client"),
    [
        # One number in two spellings: the trunk's.
        ("RU", "89161234567", "79161234567", ("79161234567", "+79161234567")),
        ("RU", "+79161234567", "79161234567", ("79161234567", "+79161234567")),
        # Only one of them is a number that can be called.
        ("RU", "989161234567", "79161234567", ("79161234567", "+79161234567")),
        ("RU", "2345678", "74952345678", ("74952345678", "+74952345678")),  # a local number that the route completed
        ("RU", "89161234567", "1234567", ("89161234567", "+79161234567")),
        ("RU", "89161234567", "123479161234567", ("89161234567", "+79161234567")),
        # Neither is: the shorter one has no prefix; of two as long, what was dialled.
        ("RU", "92345678", "2345678", ("2345678", "2345678")),
        ("RU", "2345678", "992345678", ("2345678", "2345678")),
        ("RU", "92345678", "82345678", ("92345678", "92345678")),
        # Both are: the trunk was given what is left of the dialled one without one to three digits for the line.
        ("DE", "00302101234567", "49302101234567", ("49302101234567", "+49302101234567")),
        ("GR", "00302101234567", "2101234567", ("2101234567", "+302101234567")),
        ("US", "0114930123456", "4930123456", ("0114930123456", "+4930123456")),
        # The dialled one as a trunk writes it, which by the region's plan could be another.
        ("DE", "00302101234567", "302101234567", ("00302101234567", "+302101234567")),
        # A technical prefix makes a trunk's number longer; else the route put another prefix in place of the dialled.
        ("RU", "89161234567", "499161234567", ("89161234567", "+79161234567")),
        ("RU", "89161234567", "+499161234567", ("89161234567", "+79161234567")),
        ("RU", "89161234567", "+49161234567", ("+49161234567", "+49161234567")),
        ("RU", "89161234567", "+74951234567", ("+74951234567", "+74951234567")),
        # Shorter than the last seven digits, all of them count.
        ("RU", "9112", "112", ("112", "112")),
    ],
)
def test_of_two_spellings_the_one_without_a_prefix_counts(
    region: str, called: str, given: str, client: tuple[str, str]
) -> None:
    assert reached(called, given, region=region) == client


def test_of_several_trunks_the_one_with_the_dialled_number_counts() -> None:
    client = ("79161234567", "+79161234567")
    assert reached("989161234567", "79165550000", "79161234567") == client
    assert reached("989161234567", "1234567", "79161234567") == client
    assert reached("989161234567", "~79161234567", "79165550000") == client
    assert reached("989161234567", "79161234567", staff=r"79161234567") == ("989161234567", "989161234567")


@pytest.mark.parametrize(
    ("region", "called", "given", "number"),
    [
        ("DE", "00302101234567", "49302101234567", "+49302101234567"),  # 0 and Berlin, not 00 and Greece
        ("ES", "00687751234", "34687751234", "+34687751234"),  # 00 and a mobile, not New Caledonia
        ("US", "0116592345678", "16592345678", "+16592345678"),  # 011 and Alabama, not Singapore
        ("AU", "0011298201234", "61298201234", "+298201234"),  # four digits are no outside line's: the Faroe Islands
    ],
)
def test_an_outside_line_has_up_to_three_digits(region: str, called: str, given: str, number: str) -> None:
    """All of the number dialled is valid, and so is what the trunk was given."""
    assert reached(called, given, region=region)[1] == number
