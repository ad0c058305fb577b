"""Telephone numbers: what a PBX logs, as a CRM can use it.

Each number is read by the plan of the operator's region (phonenumbers), in the spellings that trunks, gateways and
people use: national, international with `+`, with the region's own prefix, with `00`, and the country code alone.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat

Rewrites = tuple[tuple[re.Pattern[str], str], ...]

_OUTSIDE_LINE = ("0", "9")
"""Digits that an office dials before an outside number, and that some PBXs put before a caller's."""

_WITHDRAWN_MOBILE_PREFIXES: dict[int | None, str] = {52: "1"}
"""Digits after the country code that a plan has dropped, and that trunks still send (Mexico, 2019)."""

_WITHDRAWN_TRUNK_PREFIXES = {52: ("044", "045", "01")}
"""National prefixes that a plan has dropped, and that people still dial (Mexico, 2019)."""


_LOCAL_BELOW = 9
"""Digits under which a number without the national prefix is local, where a plan has numbers of many lengths."""


_FOREIGN_FROM, _LONG = 10, 11
"""Digits of the shortest number that may be another country's without a plus; from 11 on, even where the plan's own
numbers can be as long."""


class _Plan(NamedTuple):
    """What is needed of a region's numbering plan besides phonenumbers' own functions."""

    country_code: int
    prefix: str
    """Dialled before a national number; empty where there is none."""
    shortest: int
    """Digits of the shortest number with its area code; shorter ones without the prefix are local."""
    lengths: frozenset[int]
    """How many digits fixed-line and mobile numbers have, under 11."""


def normalised(number: str, region: str, rewrite: Rewrites, no_number: frozenset[str], *, dialled: bool) -> str | None:
    """E.164 where a number is valid, else its digits, with the plus that it had; None where it holds no number.

    Takes the user part of a SIP URI, and applies `rewrite` first. A number without `+` or international prefix that
    does not fit the region's plan may be another country's only where a trunk gave it, not where somebody `dialled` it:
    989160000301 is 9 for an outside line and 8 916 000-03-01, as likely as a number of Iran.
    """
    if number.lower().startswith(("sip:", "sips:", "tel:")):
        number = number.partition(":")[2]
    number = unquote(number).partition("@")[0].partition(";")[0]
    for pattern, replacement in rewrite:
        number = pattern.sub(replacement, number)
    if number.lower() in no_number:
        return None
    digits = "".join(each for each in number if each in "0123456789")
    if not digits or len(digits) < len(number) / 2 or len(digits) > 20 or _withheld(digits, region):
        return None
    plus = "+" in number.partition(digits[0])[0]
    if plus:
        return _with_plus(digits, region) or f"+{digits}"
    return _by_plan(digits, region) or _of_other_country(digits, region, dialled=dialled) or digits


def _withheld(digits: str, region: str) -> bool:
    """Whether nothing is left of a number but what a gateway puts before it."""
    plan = _plan(region)
    return not digits.strip("0") or len(digits) == 1 or digits.lstrip("0") == str(plan.country_code)


def _with_plus(digits: str, region: str) -> str | None:
    """A number that came with a plus, which some gateways put before `00` and before a national prefix too."""
    if digits.startswith("00"):
        return _valid(f"+{digits[2:]}")
    prefix = _plan(region).prefix
    national = _valid(digits, region) if prefix and digits.startswith(prefix) else None
    return _valid(f"+{digits}") or national


def _by_plan(digits: str, region: str) -> str | None:
    """A number without a plus that the region's plan knows: national, international, with the country code."""
    plan, national = _plan(region), _valid(digits, region)
    if not digits.startswith(plan.prefix):
        if digits.startswith(str(plan.country_code)) and (own_code := _valid(f"+{digits}")):
            return own_code  # 4915112345678 could be 0 4915 112345678 too; whoever leaves the 0 out writes the 49
        if national is not None and len(digits) < plan.shortest and _may_be_local(digits, region):
            national = None  # Germany's plan would take the local number 6902345 for area code 690
    if national is not None:
        return national
    if digits.startswith("00"):
        return _valid(f"+{digits[2:]}")
    for withdrawn in _WITHDRAWN_TRUNK_PREFIXES.get(plan.country_code, ()):
        if digits.startswith(withdrawn) and (national := _valid(digits.removeprefix(withdrawn), region)):
            return national
    return None


def _may_be_local(digits: str, region: str) -> bool:
    """Whether a short number without the national prefix may lack its area code too; a mobile number has none."""
    parsed = phonenumbers.parse(digits, region)
    if phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.MOBILE:
        return False
    national = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
    return "".join(filter(str.isdigit, national)) != digits  # the plan's own form has no prefix


def _of_other_country(digits: str, region: str, *, dialled: bool) -> str | None:
    """A number as trunks write it that send E.164 without the plus."""
    if dialled or len(digits) < _FOREIGN_FROM or len(digits) in _plan(region).lengths:
        return None
    if digits.startswith(_OUTSIDE_LINE) and _dials_national(digits[1:], region):
        return None
    return _valid(f"+{digits}")


def _dials_national(digits: str, region: str) -> bool:
    """Whether people would dial these digits for a number of the region, and of no other country with the same code."""
    plan, number = _plan(region), _by_plan(digits, region)
    if number is None or not phonenumbers.is_valid_number_for_region(phonenumbers.parse(number), region):
        return False
    return plan.prefix != "0" or digits.startswith("0")  # a leading 0 is written and dialled as part of the number


@lru_cache
def _plan(region: str) -> _Plan:
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.country_code is None:
        return _Plan(0, "", _LOCAL_BELOW, frozenset())
    kinds = [kind.possible_length for kind in (metadata.fixed_line, metadata.mobile) if kind]
    shortest = min(kinds[0], default=0) if kinds else 0
    return _Plan(
        metadata.country_code,
        metadata.national_prefix or "",
        shortest if shortest >= 8 else _LOCAL_BELOW,
        frozenset(length for lengths in kinds for length in lengths if length < _LONG),
    )


def _valid(spelling: str, region: str | None = None) -> str | None:
    """E.164 of a number that is valid in the country that it names; with `region`, as it is dialled there."""
    try:
        parsed = phonenumbers.parse(spelling, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_valid_number(parsed):
        return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    code, national = parsed.country_code, str(parsed.national_number)
    withdrawn = _WITHDRAWN_MOBILE_PREFIXES.get(code)
    if withdrawn and national.startswith(withdrawn):
        return _valid(f"+{code}{national.removeprefix(withdrawn)}")
    return None
