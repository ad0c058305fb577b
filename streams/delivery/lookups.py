"""Unknown outcomes settled: the result of a lookup, and what a new owner finds that its predecessor left open."""

from msgspec.structs import replace

from streams.clock import UtcMicros
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    CallFound,
    NotFound,
    OutcomeUnknown,
    PartlyDone,
    PortalBlocked,
    RetryLater,
    Succeeded,
    explanation,
)
from streams.delivery.events import Effect, LookedUp, PausePortal, Recovered, SlowPortal
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import DOUBTFUL, OWNER_LOST, Attempt, Delivery, FollowUp, Intent, State
from streams.delivery.transitions import (
    Transition,
    close_attempt,
    give_up,
    in_doubt,
    overdue,
    resume_paused,
    retry,
    step_done,
)

LOOKUP_DOUBLINGS = 3
"""How often the wait between failed lookups doubles."""


def looked_up(delivery: Delivery, event: LookedUp, plan: Plan, policy: Policy) -> Transition:
    """The state after a lookup for the doubtful attempt."""
    doubt = delivery.doubt
    if delivery.state not in DOUBTFUL or doubt is None or event.attempt != delivery.attempt:
        return Transition(delivery)
    match event.result:
        case CallFound():
            found = close_attempt(delivery, doubt, event.now, CallFound.code, explanation(event.result))
            return Transition(step_done(found, doubt, event.result.ids, plan, policy, event.now))
        case NotFound():
            return _not_found(delivery, doubt, event, plan, policy, hidden=not event.result.reliable)
    return _lookup_failed(delivery, event, event.result, policy)


def _lookup_failed(
    delivery: Delivery, event: LookedUp, failure: RetryLater | PortalBlocked, policy: Policy
) -> Transition:
    now, why = event.now, f"the lookup failed: {failure.why}"
    # Asking is harmless, and a whole call depends on it: soon again. A portal that is down has its circuit breaker.
    until = now + policy.backoff_us(min(delivery.failures, LOOKUP_DOUBLINGS), event.jitter)
    effects: tuple[Effect, ...] = ()
    if isinstance(failure, PortalBlocked):
        effects = (PausePortal(failure.why, failure.for_good, failure.rarely),)
    else:
        until = max(until, failure.not_before or 0)
        effects = (SlowPortal(until, failure.why),) if failure.whole_portal else ()
    if overdue(delivery, now, policy) and isinstance(failure, RetryLater):
        given_up = give_up(delivery, DeadLetterReason.OUTCOME_UNKNOWN, f"the request's outcome is unknown, and {why}")
        return given_up._replace(effects=(*given_up.effects, *effects))
    return Transition(replace(delivery, wait_until=until, failures=delivery.failures + 1, last_error=why), effects)


def _not_found(
    delivery: Delivery, doubt: Intent, event: LookedUp, plan: Plan, policy: Policy, *, hidden: bool
) -> Transition:
    """`hidden`: the call may be there all the same."""
    now = event.now
    since = delivery.not_found_since
    if since is None or now - since < policy.settle_us:
        since = now if since is None else since
        reason = "looked up and not found; to be looked up once more before that is believed"
        return Transition(
            replace(
                delivery,
                state=State.LOOKED_UP,
                not_found_since=since,
                failures=0,
                wait_until=max(now, since + policy.settle_us),
                reason=reason,
            )
        )
    if delivery.gone and hidden and (earlier := doubtful_before(delivery, plan)) is not None:
        return _done_by(earlier, delivery, doubt, now, plan, policy)
    believed = close_attempt(delivery, doubt, now, NotFound.code, "looked up twice over the settle time")
    # A call that is not there was not delivered; a later version that did not arrive leaves the delivered one.
    sent_version = delivery.sent_version if plan.revises(doubt.step) else None
    if delivery.sent_version is not None and sent_version is None:
        # What followed it went with it.
        believed = replace(believed, follow_ups=tuple(FollowUp(kind=each.kind) for each in delivery.follow_ups))
    believed = replace(
        believed,
        doubt=None,
        not_found_since=None,
        failures=delivery.failures + 1,
        sent_version=sent_version,
        sent_correction=delivery.sent_correction if sent_version is not None else 0,
    )
    restart = plan.steps[delivery.step].restart
    if delivery.gone and restart:
        believed = replace(believed, step=restart, steps_done=(), crm_ids={})
    return retry(believed, now, now, policy, failures=believed.failures)


def doubtful_before(delivery: Delivery, plan: Plan) -> Attempt | None:
    """The first attempt of unknown outcome at this step since the thing was made that the CRM does not know now, with
    the fields that it sent; None: there was none, or the step needs nothing that could be lost."""
    restart = plan.steps[delivery.step].restart
    first: Attempt | None = None
    sent = ""
    for attempt in delivery.history if restart else ():
        if attempt.outcome == PartlyDone.code or (attempt.step == restart and attempt.outcome == Succeeded.code):
            first = None
        elif attempt.step == delivery.step:
            sent = attempt.sent or sent
            if first is None and attempt.outcome in (OutcomeUnknown.code, OWNER_LOST):
                first = replace(attempt, sent=sent)
    return first


def _done_by(
    earlier: Attempt, delivery: Delivery, doubt: Intent, now: UtcMicros, plan: Plan, policy: Policy
) -> Transition:
    """The step done by an attempt of unknown outcome: it used up what the CRM does not know any more, and what it made
    cannot be seen. Its version is the one that the CRM shows."""
    why = (
        f"done by attempt {earlier.attempt}, whose outcome was unknown: the CRM knows it as over, but does not show it"
    )
    closed = close_attempt(delivery, doubt, now, Succeeded.code, why)
    shown = doubt
    if (earlier.version, earlier.correction) != (doubt.version, doubt.correction):
        # Its outcome hash is not kept: being another version than the newest, it counts as another outcome.
        shown = replace(
            doubt,
            version=earlier.version,
            correction=earlier.correction,
            outcome_hash="",
            compared_hash="",
            sent=earlier.sent,
            status=None,
            text=None,
        )
    return Transition(step_done(closed, shown, {}, plan, policy, now))


def recovered(delivery: Delivery, event: Recovered, plan: Plan, policy: Policy) -> Transition:
    """The state as a new owner takes it up.

    The owner before may have been about to send, and may have been configured with a longer request limit.
    """
    intent = delivery.intent
    if delivery.state is State.INTENT and intent is not None:
        limit = max(policy.request_limit_us, intent.deadline - intent.started_at)
        why = "its owner was lost"
        closed = close_attempt(delivery, intent, event.now, OWNER_LOST, why)
        return Transition(in_doubt(closed, intent, event.now + limit, why))
    if delivery.state in DOUBTFUL and delivery.not_found_since is not None:
        return Transition(replace(delivery, not_found_since=None))
    # A pause was the old owner's knowledge of its portal; the new one finds out by itself.
    return resume_paused(delivery, event.now)
