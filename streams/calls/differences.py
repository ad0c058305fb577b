"""Whether two results of one call differ in anything that a reader sees. Pure.

`outcome_hash` cannot tell: it covers the rules' hash and the reasons, so that under another rule file every call has
another one. One comparison for `classify --compare`, for replays, and for later versions of delivered calls.
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

JOINED = frozenset({"queue", "outcome"})
"""Members that joined results after 0.1.0: an older result lacks them (its `outcome` is null), and does not differ for
that, or an upgrade alone would change every call."""

_MEMBERS = [name for name in CallResult.__struct_fields__ if name not in NOT_COMPARED]
_all_members = attrgetter(*_MEMBERS)
_first_members = attrgetter(*(name for name in _MEMBERS if name not in JOINED))
_encode = msgspec.msgpack.Encoder().encode


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The members in which two outcomes differ, in the order of `before`; none: they are the same to a reader."""
    left_out = NOT_COMPARED | JOINED if before.get("outcome") is None else NOT_COMPARED
    return [name for name in before if before[name] != after[name] and name not in left_out]


def has_joined(result: CallResult) -> bool:
    """Whether a result has the members that joined after 0.1.0."""
    return result.outcome is not None


def compared_hash(result: CallResult) -> str:
    """A result's digest of everything that is compared, for `are_alike`: stands in deliveries, so its form stays.

    16 hexadecimal digits without the members of JOINED, and 16 with them where the result has them.
    """
    first = f"{compared_digest(result, joined=False):016x}"
    return f"{first}{compared_digest(result, joined=True):016x}" if has_joined(result) else first


def are_alike(one: str, other: str) -> bool:
    """Whether two results, by their `compared_hash`, do not differ: one that lacks JOINED members has the shorter."""
    return one.startswith(other) or other.startswith(one)


def compared_digest(result: CallResult, *, joined: bool) -> int:
    """64 bits of everything that is compared: equal for results that do not differ. The lowest bit is `joined`:
    whether the members of JOINED are among it."""
    members = (_all_members if joined else _first_members)(result)
    digest = int.from_bytes(blake2b(_encode(members), digest_size=8).digest(), "big")
    return digest | 1 if joined else digest & ~1
