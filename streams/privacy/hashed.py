"""A result for whoever needs no numbers: with a keyed hash in place of each, the same wherever the number is the same.

Sentences, which hold numbers and names in any form, are left out. The call's id stays: with the rights to the PBX's
table, or to call-results, it leads to the numbers.
"""

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.privacy.blanking import LISTS_OF_NUMBERS, LISTS_OF_TEXTS, NUMBERS, TEXTS, restamped
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings
from streams.settings import Settings

LEFT_OUT = "[left out]"

_E164 = {"caller": "caller_e164", "called": "called_e164"}
_DIGITS = 32
"""Hexadecimal digits of a hash that stand in a result."""


@dataclass(frozen=True, slots=True)
class ResultHasher:
    """Makes what goes to call-results-hashed beside each result."""

    key: HashKey
    spellings: Spellings

    @classmethod
    def of(cls, settings: Settings, profile: PbxProfile) -> "ResultHasher | None":
        """None where privacy.hashed_topic is not set. Raises SettingsError: the key cannot be used."""
        key = HashKey.in_settings(settings) if settings.privacy.hashed_topic else None
        return None if key is None else cls(key, Spellings(profile))

    def record(self, result: CallResult) -> dict[str, Any]:
        """The result's record there, as the Avro codec takes it."""
        return hashed_result(result, self.key, self.spellings).record()


def hashed_result(result: CallResult, key: HashKey, spellings: Spellings) -> CallResult:
    """The result with hashes; null stays null, and ERASED becomes a hash that is no number's."""

    def hashed(text: str) -> str:
        one = min(spellings.of(text), default=text, key=lambda each: (not each.startswith("+"), each))
        return key.of(one)[:_DIGITS]

    changed: dict[str, object] = {}
    for name in NUMBERS:
        text = getattr(result, name)
        if text is not None:
            changed[name] = hashed(getattr(result, _E164.get(name, name)) or text)
    for name in LISTS_OF_NUMBERS:
        changed[name] = tuple(map(hashed, getattr(result, name)))
    for name in TEXTS:
        text = getattr(result, name)
        changed[name] = text and spellings.replaced(text, hashed)
    for name in LISTS_OF_TEXTS:
        changed[name] = (LEFT_OUT,) * len(getattr(result, name))
    return restamped(replace(result, **changed))
