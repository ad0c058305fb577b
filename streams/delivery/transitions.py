"""The transitions that requests, lookups and deadlines share: an attempt closed, a step done, in doubt, given up."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from streams.clock import UtcMicros
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import CallFound, Succeeded
from streams.delivery.events import DeadLetter, Effect
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import DOUBTFUL, READY, Attempt, Delivery, Intent, State, with_attempt
from streams.delivery.versions import UNWANTED, after_delivery, skipped


class Transition(NamedTuple):
    """The state after an event (the very same object where nothing changed), and what is to be done."""

    delivery: Delivery
    effects: tuple[Effect, ...] = ()


def overdue(delivery: Delivery, now: UtcMicros, policy: Policy) -> bool:
    """Whether the delivery's deadline is over."""
    return now - delivery.queued_at >= policy.deadline_us


def close_attempt(delivery: Delivery, intent: Intent, now: UtcMicros, outcome: str, why: str) -> Delivery:
    """The delivery without an open request, and with a line in its history; `outcome`: see record.Attempt."""
    before = next((line.sent for line in reversed(delivery.history) if line.sent and line.step == intent.step), "")
    line = Attempt(
        attempt=intent.attempt,
        step=intent.step,
        version=intent.version,
        correction=intent.correction,
        started_at=intent.started_at,
        ended_at=now,
        outcome=outcome,
        explanation=why,
        sent="" if intent.sent == before else intent.sent,
    )
    error = None if outcome in (Succeeded.code, CallFound.code) else why
    return replace(delivery, intent=None, history=with_attempt(delivery.history, line), last_error=error)


def step_done(
    delivery: Delivery, intent: Intent, ids: Mapping[str, str], plan: Plan, policy: Policy, now: UtcMicros
) -> Delivery:
    """The delivery after the intent's step took effect: the next step is due, or the call is delivered."""
    after = replace(
        delivery,
        steps_done=(*(step for step in delivery.steps_done if step != intent.step), intent.step),
        crm_ids={**delivery.crm_ids, **ids},
        failures=0,
        doubt=None,
        gone=False,
        not_found_since=None,
        wait_until=None,
        reason=None,
        last_error=None,
    )
    following = plan.steps[intent.step].then
    if following is not None:
        onward = replace(after, state=State.REGISTERED, step=following)
        return skipped(onward) if delivery.skip else onward
    sent = replace(
        after,
        sent_version=intent.version,
        sent_correction=intent.correction,
        sent_hash=intent.outcome_hash,
        sent_compared_hash=intent.compared_hash,
    )
    if not plan.steps[intent.step].is_annotation:
        sent = replace(sent, sent=intent.sent, status=intent.status, text=intent.text)
    return after_delivery(replace(sent, delivered_at=now), plan, policy, now)


def retry(
    delivery: Delivery,
    now: UtcMicros,
    until: UtcMicros,
    policy: Policy,
    effects: tuple[Effect, ...] = (),
    *,
    failures: int,
) -> Transition:
    """Wait, after a request without effect, until `until`; end where the call is not wanted or its deadline is over."""
    if delivery.skip:
        return Transition(skipped(delivery), effects)
    if overdue(delivery, now, policy):
        given_up = _deadline_missed(delivery)
        return given_up._replace(effects=(*given_up.effects, *effects))
    waiting = replace(
        delivery, state=State.WAITING, wait_until=until, reason=delivery.last_error, failures=failures, gone=False
    )
    return Transition(waiting, effects)


def in_doubt(delivery: Delivery, intent: Intent, until: UtcMicros, why: str) -> Delivery:
    """The delivery whose intent's outcome is unknown; its request may take effect until `until`."""
    return replace(
        delivery,
        state=State.UNSURE,
        intent=None,
        doubt=delivery.doubt or intent,
        wait_until=until,
        not_found_since=None,
        reason=why,
        last_error=why,
    )


def expire(delivery: Delivery, now: UtcMicros, policy: Policy) -> Transition:
    """Give up a delivery whose deadline is over; one with an open request waits for the answer."""
    if delivery.final or delivery.state is State.INTENT or not overdue(delivery, now, policy):
        return Transition(delivery)
    if delivery.skip and delivery.state in READY:
        return Transition(skipped(delivery))
    if delivery.state in DOUBTFUL:
        why = f"its deadline is over, its outcome unknown: {delivery.reason}"
        return give_up(delivery, DeadLetterReason.OUTCOME_UNKNOWN, why)
    return _deadline_missed(delivery)


def _deadline_missed(delivery: Delivery) -> Transition:
    return give_up(delivery, DeadLetterReason.DEADLINE, f"not taken before its deadline; last: {delivery.last_error}")


def give_up(delivery: Delivery, reason: DeadLetterReason, why: str) -> Transition:
    """End in the dead letters, or as dropped where an operator dropped the call."""
    if delivery.wish in UNWANTED:
        explanation = f"{delivery.skip}; {why}"
        return Transition(skipped(replace(delivery, skip=explanation), explanation))
    return Transition(replace(delivery, state=State.GIVEN_UP, reason=why, wait_until=None), (DeadLetter(reason, why),))


def resume_paused(delivery: Delivery, now: UtcMicros) -> Transition:
    """Make a paused delivery due now; any other stays as it is."""
    if delivery.state is not State.PAUSED:
        return Transition(delivery)
    if delivery.skip:
        return Transition(skipped(delivery))
    return Transition(replace(delivery, state=State.WAITING, wait_until=now))
