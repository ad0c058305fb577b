"""Which calls a person or a script means: by time, PBX, result and number. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from streams.calls.outcome import Outcome
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.clock import UtcMicros
from streams.errors import UserError
from streams.rules.results import RESULT_NAMES
from streams.settings import Settings

_ASCII_DIGITS = frozenset("0123456789")


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """All that is given must hold; what is None or empty holds for every call."""

    since: UtcMicros | None = None
    """Calls that began then or later."""
    until: UtcMicros | None = None
    """Calls that began before."""
    pbx: str | None = None
    results: frozenset[int] = frozenset()
    outcomes: frozenset[str] = frozenset()
    """A call is meant whose result or outcome is among those named."""
    numbers: frozenset[str] = frozenset()
    """Digits of a number in the spellings that rows may have it in."""

    def wants(self, result: CallResult) -> bool:
        """Whether the call is meant."""
        if self.since is not None and result.started_at < self.since:
            return False
        if self.until is not None and result.started_at >= self.until:
            return False
        if self.pbx is not None and result.pbx != self.pbx:
            return False
        named = self.results or self.outcomes
        if named and result.result not in self.results and result.outcome not in self.outcomes:
            return False
        return not self.numbers or not self.numbers.isdisjoint(map(digits_of, numbers_of(result)))


def numbers_of(result: CallResult) -> Iterable[str]:
    """Every number of a call, inside and outside."""
    single = (
        result.client, result.caller, result.called, result.caller_e164, result.called_e164, result.did,
        result.extension, result.rang_last, result.answered_by,
    )  # fmt: skip
    return (number for number in (*single, *result.talked_with) if number)


def digits_of(number: str) -> str:
    """The digits of a number, by which its spellings are compared."""
    return "".join(letter for letter in number if letter in _ASCII_DIGITS)


def checked_pbx(pbx: str | None, settings: Settings) -> str | None:
    """The PBX that was named. Raises UserError: the settings name no such one."""
    names = [each.name for each in (settings.pbx, *settings.other_pbxs)]
    if pbx is not None and pbx not in names:
        raise UserError(f"--pbx {pbx}: the settings name no such PBX", f"There are: {', '.join(names)}.")
    return pbx


def checked_window(since: UtcMicros | None, until: UtcMicros | None) -> None:
    """Raise UserError where no time lies between the two."""
    if since is not None and until is not None and since >= until:
        raise UserError("--until is not after --since: no call began between them", "Give a later --until.")


def wanted_results(names: Iterable[str]) -> tuple[frozenset[int], frozenset[str]]:
    """Results and outcomes by the names that were given, such as 486 or missed. Raises UserError."""
    codes, words = set(), set()
    for name in names:
        if name in tuple(Outcome):
            words.add(name)
        elif name.isascii() and name.isdigit() and int(name) in RESULT_NAMES:
            codes.add(int(name))
        else:
            known = ", ".join([*Outcome, *map(str, RESULT_NAMES)])
            raise UserError(f"--result {name}: there is no such result", f"There are: {known}.")
    return frozenset(codes), frozenset(words)


def wanted_numbers(number: str | None, settings: Settings) -> frozenset[str]:
    """A number's digits as it was given, and in E.164 by the plan of the settings. Raises UserError: it has none."""
    if number is None:
        return frozenset()
    normalised = PbxProfile.of(settings).normalised_number(number)
    spellings = frozenset(digits for each in (number, normalised or "") if (digits := digits_of(each)))
    if not spellings:
        raise UserError(f"--number {number}: it has no digits", "Give it as +79161234567, or as people dial it.")
    return spellings
