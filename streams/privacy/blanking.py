"""A call's result and legs without the numbers that are meant.

Numbers become null, and ERASED in lists and sentences. `outcome_hash` is made anew: the old one, without a key, would
tell the number to whoever tries all of them against the fields that stay. The rest stays, so that counts stay right.
"""

from collections.abc import Callable

from msgspec.structs import replace

from streams.calls.result import CallLeg, CallResult, Classification
from streams.privacy.spellings import Spellings

ERASED = "[erased]"

NUMBERS = (
    "answered_by", "caller", "called", "caller_e164", "called_e164", "client", "extension", "rang_last", "did",
)  # fmt: skip
"""Fields of a result that are a number, or null."""
LISTS_OF_NUMBERS = ("talked_with",)
TEXTS = ("trunk", "hangup_source", "incomplete_reason")
LISTS_OF_TEXTS = ("transfers", "pickups", "why")

_SAME = (("caller", "caller_e164"), ("called", "called_e164"))
"""Two spellings of one number."""

Meant = Callable[[str], bool]
"""Whether a number, in its one spelling, is meant."""


class Blanking:
    """What is taken out of records."""

    def __init__(self, spellings: Spellings, meant: Meant) -> None:
        self._spellings = spellings
        self._meant = meant

    def means(self, text: str | None) -> bool:
        """Whether a text is a number that is meant."""
        return text is not None and any(map(self._meant, self._spellings.of(text)))

    def classification(self, outcome: Classification) -> Classification:
        """The outcome of a call without the numbers; the very same object where it holds none."""
        result, legs = self.result(outcome.result), self.legs(outcome.legs, outcome.result)
        if result is outcome.result and legs is outcome.legs:
            return outcome
        return Classification(result, legs)

    def result(self, result: CallResult) -> CallResult:
        """A result without the numbers; the very same object where it holds none."""
        written = self._written(result)
        changed: dict[str, object] = {}
        for name in NUMBERS:
            if self._is_one(getattr(result, name), written):
                changed[name] = None
        for name in LISTS_OF_NUMBERS:
            changed[name] = tuple(ERASED if self._is_one(each, written) else each for each in getattr(result, name))
        for name in TEXTS:
            changed[name] = self.text(getattr(result, name), written)
        for name in LISTS_OF_TEXTS:
            changed[name] = tuple(self.text(each, written) for each in getattr(result, name))
        if all(getattr(result, name) == value for name, value in changed.items()):
            return result
        return restamped(replace(result, **changed))

    def legs(self, legs: tuple[CallLeg, ...], of: CallResult | None = None) -> tuple[CallLeg, ...]:
        """The legs of a call without the numbers; the very same object where they hold none."""
        written = frozenset[str]() if of is None else self._written(of)
        blanked = tuple(self.leg(leg, written) for leg in legs)
        return legs if blanked == legs else blanked

    def leg(self, leg: CallLeg, written: frozenset[str] = frozenset()) -> CallLeg:
        """A leg without the numbers; the very same object where it holds none. `written`: as `text` has it."""
        number = None if self._is_one(leg.number, written) else leg.number
        channel = self.text(leg.channel, written) or ""
        if (number, channel) == (leg.number, leg.channel):
            return leg
        return replace(leg, number=number, channel=channel)

    def text(self, text: str | None, written: frozenset[str] = frozenset()) -> str | None:
        """A text without the numbers; `written`: spellings that the call has of them."""
        if not text:
            return text
        if text in written:
            return ERASED
        return self._spellings.replaced(text, lambda found: ERASED if found in written or self.means(found) else None)

    def _is_one(self, text: str | None, written: frozenset[str]) -> bool:
        return text is not None and (text in written or self.means(text))

    def _written(self, result: CallResult) -> frozenset[str]:
        """Every spelling that a result has of the numbers: as logged too, where E.164 alone shows what it is."""
        found = {text for name in NUMBERS if self.means(text := getattr(result, name))}
        for pair in _SAME:
            both = [getattr(result, name) for name in pair]
            if any(map(self.means, both)):
                found.update(filter(None, both))
        return frozenset(found)


def restamped(result: CallResult) -> CallResult:
    """A result whose fields changed, with the `outcome_hash` of what it holds now."""
    version, correction = result.version, result.correction
    blank = replace(result, version=0, version_row_id=0, version_rows=0, outcome_hash="", correction=0)
    stamped = blank.stamped(version, result.version_row_id, result.version_rows)
    return replace(stamped, correction=correction)
