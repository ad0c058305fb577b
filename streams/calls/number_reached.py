"""Whom a call that went out reached: the number dialled, and the one that the trunk was given for it."""

from collections.abc import Sequence

from streams.calls.calling_party import is_digits, same_number
from streams.calls.facts import Channel
from streams.calls.pbx_profile import PbxProfile

_LONGEST_PREFIX = 3
"""Digits of the longest prefix for an outside line."""


def number_reached(
    called: str | None, outside: Sequence[Channel], profile: PbxProfile
) -> tuple[str | None, str | None]:
    """The client's number as logged, and as a CRM can use it. `outside`: the trunks' channels.

    Routes take prefixes away and put others in their place (9 8916... becomes 7916...), so the trunk's number counts
    where it is the dialled one with other prefixes; but a trunk's own technical prefix (1234 7916...) is no part of it.
    """
    given = [leg for leg in outside if leg.number and not profile.is_staff(leg.number)]
    if called is None:
        return None, None
    if not is_digits(called):
        return _as_given(given[0].number if given else None, profile)
    dialled = called, None if profile.is_inside(called) else profile.dialled_number(called)
    spellings = [leg.number for leg in given if same_number(called, leg.number)]
    if spellings:
        return _of_two(called, _best(spellings, profile), profile)
    if not _is_valid(dialled[1]) and (others := [leg.number for leg in given if leg.number_dialled]):
        number = _as_given(_best(others, profile), profile)
        if _is_valid(number[1]) or profile.is_inside(called):
            return number
    if profile.is_inside(called):
        return _as_given(given[0].number if given else None, profile)
    return dialled


def _of_two(called: str, given: str, profile: PbxProfile) -> tuple[str, str | None]:
    """Of the number dialled and the one that the trunk was given for it, the client's."""
    dialled, trunks = profile.dialled_number(called), profile.normalised_number(given)
    if not _is_valid(trunks):
        if _is_valid(dialled):
            return called, dialled
        # Neither is valid: a local number after an outside line's digit, or one with a technical prefix.
        return min(((called, dialled), (given, trunks)), key=lambda each: len(each[0]))
    if not _is_valid(dialled) or dialled == trunks:
        return given, trunks
    if dialled == f"+{given}":
        return called, dialled
    stripped = (called[length:] for length in range(1, _LONGEST_PREFIX + 1))
    if any(profile.dialled_number(each) == trunks for each in stripped):
        return given, trunks
    longer = len(given.removeprefix("+")) > len(dialled or "") - 1
    return (called, dialled) if longer else (given, trunks)


def _best(numbers: Sequence[str], profile: PbxProfile) -> str:
    return next((each for each in numbers if _is_valid(profile.normalised_number(each))), numbers[0])


def _as_given(number: str | None, profile: PbxProfile) -> tuple[str | None, str | None]:
    return number, profile.normalised_number(number) if number else None


def _is_valid(number: str | None) -> bool:
    return number is not None and number.startswith("+")
