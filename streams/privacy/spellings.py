"""Which number a text means, in whatever spelling; and the numbers in a sentence or in the name of a channel."""

import re
from collections.abc import Callable
from functools import lru_cache

from streams.calls.pbx_profile import PbxProfile
from streams.errors import UserError

_IN_TEXT = re.compile(r"(?<![\w+.])\+?\d{2,20}(?!\w|\.\d)")
"""Digits that stand alone, as in `Local/89161234567@from-queue-1;1`; no part of a word, of a linkedid or of a time."""

_SPACED = re.compile(r"(?<![\w+.])\+?\(?\d(?:[ ().-]{0,2}\d){6,19}(?![\w]|\.\d)")
"""A number as people write it: `+7 (916) 123-45-67`."""


class Spellings:
    """The numbers that texts mean, by the plan of the region (calls/numbers.py); of several PBXs, of each one's."""

    def __init__(self, profile: PbxProfile) -> None:
        self._profiles = (profile, *profile.by_pbx.values())
        self.of: Callable[[str], frozenset[str]] = lru_cache(65_536)(self._of)
        """The numbers that a text may mean: E.164 where it is valid, else its digits; mostly one, none for a name.

        Two where it reads otherwise from a trunk than as somebody dialled it."""

    def _of(self, text: str) -> frozenset[str]:
        found = set[str | None]()
        for profile in self._profiles:
            found |= {profile.normalised_number(text), profile.dialled_number(text)}
        return frozenset(each for each in found if each)

    def meant(self, text: str, *, as_logged: bool) -> str:
        """The one number that a person means. Raises UserError: none, or several, or one that is not unique.

        `as_logged`: short and local numbers are allowed, which mean something only within this PBX.
        """
        found = self.of(text.strip())
        if not found:
            raise UserError(f"{text!r} is no telephone number", "Write it with its country code: +491512345678.")
        whole = {each for each in found if each.startswith("+") and self.of(each) == {each}}
        if len(whole) > 1:
            raise UserError(
                f"{text!r} may mean {' or '.join(sorted(whole))}", "Write it with its country code: +491512345678."
            )
        if not whole and not as_logged:
            raise UserError(
                f"{text!r} is no whole number of {self._profiles[0].region}: short and local ones are of many people",
                "Write it with its country code (+491512345678); or give --as-logged if calls bear it like that.",
            )
        return min(whole or found)

    def is_own(self, number: str) -> bool:
        """Whether a number is an extension, or one of staff (numbers.internal_patterns)."""
        return any(profile.is_inside(number) for profile in self._profiles)

    def replaced(self, text: str, change: Callable[[str], str | None]) -> str:
        """A text in which each number that `change` has another word for is replaced by that word."""

        def one(found: re.Match[str]) -> str:
            word = change(found[0])
            return found[0] if word is None else word

        return _IN_TEXT.sub(one, _SPACED.sub(one, text))
