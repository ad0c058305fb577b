"""A delivery of which personal data is erased: dropped where it is not over, then blanked, and never sent again. Pure.

What stays tells no person: state, times, versions, attempts and their outcomes, and the ids of the CRM's entries, by
which a person finds what the CRM still holds. The hashes go too: without a key, they would tell the number to whoever
tries all of them.
"""

from msgspec.structs import replace

from streams.delivery.record import DOUBTFUL, READY, Action, Attempt, Delivery, FollowUp, State
from streams.delivery.versions import skipped

WHY = "erased: it held personal data (cel2crm erase)"


def erasing(delivery: Delivery) -> Delivery:
    """The delivery after an order to erase it. A request that is out, or in doubt, is followed to its end before."""
    unwanted = replace(delivery, wish=Action.ERASE.value, skip=WHY)
    return unwanted if delivery.final or delivery.state in DOUBTFUL | {State.INTENT} else skipped(unwanted)


def erased_where_over(delivery: Delivery) -> Delivery:
    """One that is to be erased, after any event: what is ready to follow it is given up; blanked once all is over."""
    follow_ups = tuple(
        replace(each, state=State.SKIPPED, reason=WHY, wait_until=None) if each.state in READY else each
        for each in delivery.follow_ups
    )
    ended = replace(delivery, follow_ups=follow_ups)
    return blanked(ended) if ended.over else ended


def is_erased(delivery: Delivery) -> bool:
    """Whether nothing is left to be erased of a delivery."""
    return delivery.wish == Action.ERASE and blanked(delivery) == delivery


def blanked(delivery: Delivery) -> Delivery:
    """A delivery without personal data: every field that schemas/delivery.avsc calls personal, but ids of calls and of
    entries, and who ordered what."""
    return replace(
        delivery,
        reason=WHY,
        skip=WHY,
        outcome_hash="",
        compared_hash="",
        sent_hash=None if delivery.sent_hash is None else "",
        sent_compared_hash="",
        result=None,
        result_schema="",
        intent=None,
        doubt=None,
        crm_ids=_without_addresses(delivery.crm_ids),
        sent=None,
        text=None,
        last_error=None,
        unmatched=(),
        history=_blanked_history(delivery.history),
        follow_ups=tuple(map(_blanked_follow_up, delivery.follow_ups)),
        orders=tuple(replace(each, note="") for each in delivery.orders),
    )


def _blanked_follow_up(follow_up: FollowUp) -> FollowUp:
    return replace(
        follow_up,
        reason=WHY if follow_up.reason else None,
        intent=None,
        doubt=None,
        ids=_without_addresses(follow_up.ids),
        last_error=None,
        history=_blanked_history(follow_up.history),
    )


def _blanked_history(history: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    return tuple(replace(each, explanation="", sent="") for each in history)


def _without_addresses(ids: dict[str, str]) -> dict[str, str]:
    """Ids of entries; addresses and files, whose names often hold the number, are none."""
    return {name: value for name, value in ids.items() if "/" not in value and "." not in value}
