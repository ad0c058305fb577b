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
    if called is None:
        return None, None
    given = [leg for leg in outside if leg.number and not profile.is_staff(leg.number)]
    spelling = _best([leg.number for leg in given if same_number(called, leg.number)], profile)
    if spelling is not None:
        return _of_two(called, spelling, profile)
    asked = profile.dialled_number(called) if is_digits(called) and not profile.is_inside(called) else None
    if _is_valid(asked):
        return called, asked
    numbers = [leg.number for leg in given if leg.number_dialled]
    if asked is None:  # a speed dial, or the code of a service: what the trunk shows is the number
        return _as_given(_best(numbers or [leg.number for leg in given], profile), profile)
    reached = _as_given(_best(numbers, profile), profile)
    return reached if _is_valid(reached[1]) else (called, asked)


def _of_two(called: str, given: str, profile: PbxProfile) -> tuple[str, str | None]:
    """Of the number dialled and the one that the trunk was given for it, the client's."""
    dialled, trunks = profile.dialled_number(called), profile.normalised_number(given)
    if dialled is None or not _is_valid(dialled):
        # Neither may be valid: a local number after an outside line's digit, or one with a technical prefix.
        return (called, dialled) if not _is_valid(trunks) and len(called) <= len(given) else (given, trunks)
    if not _is_valid(trunks) or dialled == f"+{given}" != trunks:
        return called, dialled
    stripped = (called[length:] for length in range(_LONGEST_PREFIX + 1))
    if any(profile.dialled_number(each) == trunks for each in stripped):
        return given, trunks
    return (called, dialled) if len(given.removeprefix("+")) >= len(dialled) else (given, trunks)


def _best(numbers: Sequence[str], profile: PbxProfile) -> str | None:
    """The first valid number, else the first one."""
    return next((each for each in numbers if _is_valid(profile.normalised_number(each))), next(iter(numbers), None))


def _as_given(number: str | None, profile: PbxProfile) -> tuple[str | None, str | None]:
    return number, profile.normalised_number(number) if number else None


def _is_valid(number: str | None) -> bool:
    return number is not None and number.startswith("+")
