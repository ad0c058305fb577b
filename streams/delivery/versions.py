"""The versions of a call's result: taken into its delivery, queued, skipped, or compared with what the CRM shows."""

from collections.abc import Mapping

from msgspec.structs import replace

from streams.calls.differences import are_alike
from streams.clock import UtcMicros
from streams.delivery.events import Arrived
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import Action, Delivery, FollowUp, State

UNWANTED = frozenset({Action.DROP.value, Action.ERASE.value})
"""Wishes of operators under which no version of the call is sent."""


def with_version(delivery: Delivery, event: Arrived) -> Delivery:
    """The delivery with this version as the one that counts."""
    topic, partition, offset = event.source
    return replace(
        delivery,
        version=event.version,
        correction=event.correction,
        outcome_hash=event.outcome_hash,
        compared_hash=event.compared_hash,
        result=event.result,
        result_schema=event.result_schema,
        call_ended_at=event.call_ended_at,
        skip=_skip(delivery, event),
        follow_ups=_wanted(delivery.follow_ups, event.follow_ups),
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        updated_at=event.now,
    )


def _wanted(known: tuple[FollowUp, ...], asked: Mapping[str, Mapping[str, str]]) -> tuple[FollowUp, ...]:
    """The follow-ups after a version that asks for these: one that has begun goes on in any case."""
    kept = tuple(each for each in known if each.kind in asked or each.begun)
    there = {each.kind for each in kept}
    return (*kept, *(FollowUp(kind=kind, ids=dict(ids)) for kind, ids in asked.items() if kind not in there))


def _skip(delivery: Delivery, event: Arrived) -> str | None:
    """A command to deliver overrides the call's time, but not the kind of call."""
    if delivery.wish in UNWANTED:
        return delivery.skip
    if event.correction and delivery.version and delivery.skip is None:
        return event.skip  # the call was wanted: that a replay judged it anew takes it from no CRM
    return event.skip if delivery.wish == Action.DELIVER else event.skip or event.history


def queued(delivery: Delivery) -> Delivery:
    """The delivery due from now on, or skipped where the call is not wanted."""
    if delivery.skip:
        return skipped(delivery)
    return replace(delivery, state=State.REGISTERED if delivery.steps_done else State.NEW, reason=None)


def skipped(delivery: Delivery, why: str = "") -> Delivery:
    """The delivery ended without a request, by the settings or by an operator. An entry that an earlier version left in
    the CRM stays there."""
    result = None if delivery.sent_version is None else _needed_result(delivery)
    state = State.DROPPED if delivery.wish in UNWANTED else State.SKIPPED
    if delivery.sent_version is not None:
        state = State.SUPERSEDED
    doubt = "" if delivery.doubt is None else f"; a {delivery.doubt.step} of unknown outcome may have arrived"
    return replace(delivery, state=state, reason=why or f"{delivery.skip}{doubt}", result=result, wait_until=None)


def _needed_result(delivery: Delivery) -> bytes | None:
    """The result of a call that is in the CRM, as long as what follows it needs it."""
    return delivery.result if any(not each.ended for each in delivery.follow_ups) else None


def is_same_outcome(one: tuple[str | None, str], other: tuple[str | None, str]) -> bool:
    """Whether two results, each by its `outcome_hash` and `compared_hash`, are the same to whoever reads them.

    By the first, under other rules every result is another one; it is all that is known of what earlier releases read.
    """
    if one[1] and other[1]:
        return are_alike(one[1], other[1])
    return one[0] == other[0]


def after_delivery(delivery: Delivery, plan: Plan, policy: Policy, now: UtcMicros) -> Delivery:
    """The state of a delivered call: over if the CRM shows the newest version, else as `on_revision` says."""
    shown = delivery.sent_version, delivery.sent_correction
    same = delivery.order == shown or is_same_outcome(
        (delivery.outcome_hash, delivery.compared_hash), (delivery.sent_hash, delivery.sent_compared_hash)
    )
    step = plan.revisions.get(policy.on_revision)
    if same or step is None or delivery.skip or delivery.result is None:
        return replace(
            delivery,
            state=State.DELIVERED if same else State.SUPERSEDED,
            reason=None if same else "a later version came after delivery; what was delivered is not touched again",
            result=_needed_result(delivery),
        )
    reason = f"a later version came after delivery (on_revision: {policy.on_revision})"
    return replace(delivery, state=State.WAITING, step=step, queued_at=now, wait_until=now, failures=0, reason=reason)
