"""Whether two results of one call differ in anything that a reader sees. Pure.

`outcome_hash` cannot tell: it covers the rules' hash and the reasons, so that under another rule file every call has
another one. One comparison for `classify --compare` and for replays.
"""

from collections.abc import Mapping
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec

from streams.calls.result import CallResult

NOT_COMPARED = frozenset(
    {
        "version", "version_row_id", "version_rows", "correction",  # which of the call's records it is
        "outcome_hash", "rules_hash", "rule", "why",  # how the outcome was found
        "outcome",  # answered and result in a word, which results of 0.1.0 lack
    }
)  # fmt: skip
"""Members that may differ where nothing that a reader sees does."""

_compared = attrgetter(*(name for name in CallResult.__struct_fields__ if name not in NOT_COMPARED))
_encode = msgspec.msgpack.Encoder().encode


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The members in which two outcomes differ, in the order of `before`; none: they are the same to a reader."""
    return [name for name in before if before[name] != after[name] and name not in NOT_COMPARED]


def differs(before: CallResult, after: CallResult) -> bool:
    """Whether a reader sees a difference."""
    return bool(_compared(before) != _compared(after))


def compared_digest(result: CallResult) -> int:
    """64 bits of everything that is compared: equal for results that do not differ."""
    return int.from_bytes(blake2b(_encode(_compared(result)), digest_size=8).digest(), "big")
