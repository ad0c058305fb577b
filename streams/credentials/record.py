"""A portal's authorisation as it is stored, and how it changes. Pure.

Every change is a compare and swap against what is stored (store.py), so that of several workers one refreshes: the one
whose claim stands. Times: UTC microseconds from 1970.
"""

from dataclasses import dataclass, replace

from streams.clock import MICROS_PER_SECOND
from streams.crm.shared.tokens import Pair


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody is about to use the refresh token up, or has: it was written before the request went out."""

    id: str
    mark: str
    since: int
    seconds: float
    """Longest time from the claim to the end of its request: a claim that stands longer is abandoned."""
    doubtful: bool = False
    """An earlier request with the same token ended nobody knows how."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A portal's authorisation."""

    portal: str
    """The portal's key in the store (store.key_of)."""
    revision: int
    """Grows with every change."""
    pair: Pair
    claim: Claim | None = None
    refused: str | None = None
    """Why the refresh token is good no more: a person must authorise again."""


def granted(before: Credential | None, portal: str, pair: Pair, now: int) -> Credential:
    """A person authorised: whatever was before is over."""
    return Credential(portal, _next(before, now), pair)


def claimed(before: Credential | None, claim: Claim, now: int, abandoned: str | None = None) -> Credential | None:
    """Claim the refresh. None: it cannot be had, because the token is another one by now, is refused, or is claimed.

    `abandoned`: id of the claim that its owner has left standing beyond its time.
    """
    if before is None or before.refused is not None or before.pair.mark != claim.mark:
        return None
    if before.claim is not None and before.claim.id != abandoned:
        return None
    doubtful = before.claim is not None and before.claim.mark == claim.mark
    return replace(before, revision=_next(before, now), claim=replace(claim, doubtful=doubtful))


def rotated(before: Credential | None, mark: str, pair: Pair, now: int) -> Credential | None:
    """The refresh token `mark` brought a new pair. None: what is stored has moved on without it.

    It goes over anybody's claim and refusal for the same token: theirs came too late.
    """
    if before is None or before.pair.mark != mark:
        return None
    endpoint = pair.endpoint or before.pair.endpoint
    server = pair.server or before.pair.server
    return Credential(before.portal, _next(before, now), replace(pair, endpoint=endpoint, server=server))


def refused(before: Credential | None, claim_id: str, why: str, now: int) -> Credential | None:
    """The vendor does not take the refresh token. None: the claim no longer stands."""
    if before is None or before.claim is None or before.claim.id != claim_id:
        return None
    if before.claim.doubtful:
        why = f"an earlier refresh was cut off before its tokens were stored, and the old one is used up ({why})"
    return replace(before, revision=_next(before, now), claim=None, refused=why)


def released(before: Credential | None, claim_id: str, now: int) -> Credential | None:
    """The request surely had no effect. A doubt about an earlier one stays, and with it the claim."""
    if before is None or before.claim is None or before.claim.id != claim_id or before.claim.doubtful:
        return None
    return replace(before, revision=_next(before, now), claim=None)


def _next(before: Credential | None, now: int) -> int:
    """The time, so that it also grows over a revision that cannot be read (the key was lost)."""
    return max(now, before.revision + 1 if before else 0)


def worth_renewing(pair: Pair, now: int) -> bool:
    """Whether the access token is over or nearly so: the last tenth of its time, at most two minutes."""
    return now >= pair.access_until - min(120 * MICROS_PER_SECOND, (pair.access_until - pair.received_at) // 10)
