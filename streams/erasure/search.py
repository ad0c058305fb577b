"""Whether bytes, a text or a record hold a number. Bytes are looked at for its last digits first: topics are long."""

from typing import Any

import msgspec

from streams.calls.call import Call
from streams.calls.result import CallLeg, CallResult, Classification
from streams.privacy.blanking import Blanking
from streams.privacy.spellings import Spellings

_TAIL = 7
_BETWEEN_DIGITS = b" ().-"


class Search:
    """The search for one number."""

    def __init__(self, number: str, spellings: Spellings) -> None:
        """`number`: in its one spelling (Spellings.meant)."""
        self.number = number
        self.blanking = Blanking(spellings, number.__eq__)
        self._tail = "".join(filter(str.isdigit, number))[-_TAIL:].encode()

    def may_hold(self, value: bytes | None) -> bool:
        """Whether bytes hold its last digits, as every spelling does."""
        if value is None:
            return False
        return self._tail in value or self._tail in value.translate(None, _BETWEEN_DIGITS)

    def in_bytes(self, value: bytes | None) -> bool:
        """Whether bytes of any kind hold it as a number of its own."""
        return value is not None and self.may_hold(value) and self.in_text(value.decode("utf-8", "replace"))

    def in_text(self, text: str | None) -> bool:
        """Whether a text holds it as a number of its own."""
        return bool(text) and (self.blanking.means(text) or self.blanking.text(text) != text)

    def in_result(self, result: CallResult) -> bool:
        """Whether a result holds it."""
        return self.blanking.result(result) is not result

    def in_leg(self, leg: CallLeg) -> bool:
        """Whether a leg holds it."""
        legs = (leg,)
        return self.blanking.legs(legs) is not legs

    def in_outcome(self, outcome: Classification) -> bool:
        """Whether a call's result or legs hold it."""
        return self.blanking.classification(outcome) is not outcome

    def in_call(self, call: Call) -> bool:
        """Whether the rows of a call hold it."""
        return any(self.in_value(msgspec.structs.asdict(row)) for row in call.rows)

    def in_value(self, value: Any) -> bool:
        """Whether a tree of plain values holds it, in any text or bytes."""
        if isinstance(value, dict):
            return any(map(self.in_value, value.values()))
        if isinstance(value, list | tuple):
            return any(map(self.in_value, value))
        return self.in_bytes(value) if isinstance(value, bytes) else isinstance(value, str) and self.in_text(value)

    def is_of_ones_own(self, result: CallResult) -> bool:
        """Whether it is the PBX's own number in a call: the one that was called from outside, or called outside."""
        means = self.blanking.means
        if result.direction == "incoming":
            return means(result.did) or means(result.called) or means(result.called_e164)
        return result.direction == "outgoing" and (means(result.caller) or means(result.caller_e164))
