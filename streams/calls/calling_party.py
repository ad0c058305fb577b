"""The calling channel's rows before anybody was reached: who calls, and which number was asked for.

Gateways log their account first, and the dialplan puts the caller's number in its place; a request names an account
first, and the number that was called only in a header; an analogue line names none.
"""

from collections.abc import Iterator

from streams.calls.events import ENDED
from streams.calls.facts import CallFacts, Channel
from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import CelRow

_DIALLING = frozenset({"Dial", "Queue"})
_HEADER_CONTEXT = "-toheader"
"""End of the names of contexts that read the number called from a header (FreePBX: from-pstn-toheader): what the
request itself asked for is an account there, and no row shows the header."""
_LOCAL_DIGITS = 7
"""Digits at the end of two spellings of one number that do not differ by prefixes."""


def is_digits(number: str) -> bool:
    """Whether a number is nothing but digits, with or without `+`."""
    digits = number.removeprefix("+")
    return digits.isascii() and digits.isdigit()


def is_dialable(number: str) -> bool:
    """Whether a phone's keys can dial it: digits and feature codes, not names of extensions."""
    return bool(number) and all(each in "0123456789*#+" for each in number)


def same_number(one: str, other: str) -> bool:
    """Whether two numbers are one with other prefixes: the last seven digits are the same, or all of the shorter."""
    short, long = sorted((one.removeprefix("+"), other.removeprefix("+")), key=len)
    return len(short) >= 3 and is_digits(long) and long.endswith(short[-_LOCAL_DIGITS:])


def asked_for_it(calling: Channel, number: str, profile: PbxProfile) -> bool:
    """Whether a number that was called is the outside one that the calling channel asked for."""
    return len(number) >= 5 and profile.is_outside_number(calling.dialled) and same_number(calling.dialled, number)


def set_by_dialplan(facts: CallFacts, calling: Channel, profile: PbxProfile) -> str | None:
    """The first valid number that the dialplan put in place of a useless one before the first Dial or Queue."""
    first = calling.first_number
    if _is_valid(first, profile):
        return None
    numbers = (row.cid_num for row in _before_dial(facts, calling) if row.cid_num != first)
    return next(
        (each for each in numbers if _is_valid(each, profile) and not asked_for_it(calling, each, profile)), None
    )


def callers_number(facts: CallFacts, calling: Channel, profile: PbxProfile) -> str | None:
    """The number by which an outside caller can be called; None for one who withheld it.

    The first one seen, unless it is none that can be called and the dialplan put a valid one in its place. The name of
    the trunk itself is an account.
    """
    if better := set_by_dialplan(facts, calling, profile):
        return better
    number = calling.first_number
    return number if number != calling.endpoint or _is_valid(number, profile) else None


def did_of(facts: CallFacts, calling: Channel, profile: PbxProfile) -> str | None:
    """The company's number that an outside caller called: the last one asked for while still in outside contexts.

    None where the trunk named none. Inside numbers and names of extensions never count.
    """
    came_in, found = calling.start_row.context, None
    for row in _rows_of(facts, calling):
        side = profile.side_of_context(row.context)
        if side == "inside" and row is not calling.start_row:
            break
        if (side == "outside" or row.context == came_in) and _is_company_number(row.exten, profile):
            found = row.exten
        if row.appname in _DIALLING:
            break
    found = found or (calling.dnid if _is_company_number(calling.dnid, profile) else None)
    # A request may name the account that the trunk is registered with, and nothing else.
    accounts = {calling.endpoint}
    if came_in.endswith(_HEADER_CONTEXT):
        accounts.add(calling.start_row.exten)
    return None if found is None or (found in accounts and not _is_valid(found, profile)) else found


def _is_company_number(number: str, profile: PbxProfile) -> bool:
    return is_digits(number) and not profile.is_inside(number)


def _is_valid(number: str, profile: PbxProfile) -> bool:
    normalised = profile.normalised_number(number)
    return normalised is not None and normalised.startswith("+")


def _rows_of(facts: CallFacts, calling: Channel) -> Iterator[CelRow]:
    return (row for row in facts.rows if row.uniqueid == calling.uniqueid and row.eventtype not in ENDED)


def _before_dial(facts: CallFacts, calling: Channel) -> Iterator[CelRow]:
    """The calling channel's rows up to the one with which it first dials, that one included."""
    reached = min((leg.start_row.id for leg in facts.channels.values() if leg is not calling), default=None)
    for row in _rows_of(facts, calling):
        if reached is not None and row.id > reached:
            return
        yield row
        if row.appname in _DIALLING:
            return
