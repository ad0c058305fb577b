"""The delivery of one call to one CRM as a pure state machine: `(state, event) -> (state, effects)`.

    new --Due--> intent --Done--> registered --Due--> intent --Done--> delivered --newer version--> superseded
                   |--Later, NotSent--> waiting --Due--> intent            (surely without effect: repeat)
                   |--Pause--> paused --PortalBack--> waiting
                   |--NoUser--> waiting                                    (for somebody else, at once)
                   |--Partly--> registered                                 (of two steps in one the first)
                   |--Unwanted--> skipped
                   |--Refused--> refused                                   (dead letter)
                   `--Unsure, new owner--> unsure --Due--> look up: found -> done; not found, twice -> waiting

What operators order (delivery/commands.py) brings back what was refused, given up, skipped or dropped, or drops it.

The caller keeps what the machine relies on: one owner a call; the new state is durable before Send is done; an open
request ends before its deadline; the dead letter is durable before the state that goes with it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.commands import carried_out
from streams.delivery.events import (
    Answered,
    Arrived,
    CallFound,
    DeadLetter,
    Due,
    Effect,
    Event,
    LookedUp,
    LookUp,
    NotFound,
    NotSent,
    Ordered,
    OutcomeUnknown,
    Overdue,
    PartlyDone,
    PausePortal,
    PortalBack,
    PortalBlocked,
    PrerequisiteLost,
    PrerequisiteMissing,
    Recovered,
    RetryLater,
    Send,
    Shadowed,
    SkipCall,
    SlowPortal,
    Succeeded,
    UserUnknown,
)
from streams.delivery.plan import Plan, Policy, UnknownOutcome
from streams.delivery.record import DOUBTFUL, READY, Action, Attempt, Delivery, Intent, State, with_attempt
from streams.delivery.versions import compared, queued, skipped, with_version

LOOKUP_DOUBLINGS = 3
"""How often the wait between failed lookups doubles."""


class Transition(NamedTuple):
    """The state after an event (the very same object where nothing changed), and what is to be done."""

    delivery: Delivery
    effects: tuple[Effect, ...] = ()


def begin(arrived: Arrived, plan: Plan) -> Delivery:
    """The state of a call that was not known before."""
    blank = Delivery(arrived.call_id, plan.crm, arrived.portal, State.NEW, step=plan.first, queued_at=arrived.now)
    return queued(with_version(blank, arrived))


def advance(delivery: Delivery, event: Event, plan: Plan, policy: Policy) -> Transition:
    """What an event makes of a delivery. One that does not fit the state, such as a second answer, changes nothing."""
    outcome = _HANDLERS[type(event)](delivery, event, plan, policy)
    if outcome.delivery is delivery:
        return outcome
    return outcome._replace(delivery=replace(outcome.delivery, updated_at=event.now))


def overdue(delivery: Delivery, now: int, policy: Policy) -> bool:
    """Its deadline is over."""
    return now - delivery.queued_at >= policy.deadline


# Versions of the result.


def _arrived(delivery: Delivery, event: Arrived, plan: Plan, policy: Policy) -> Transition:
    if event.version <= delivery.version:
        return Transition(delivery)
    newer = with_version(delivery, event)
    match delivery.state:
        case State.DELIVERED | State.SUPERSEDED:
            return Transition(compared(newer, plan, policy, event.now))
        case State.INTENT | State.UNSURE | State.LOOKED_UP | State.GIVEN_UP:
            return Transition(newer)
        case State.REFUSED if event.outcome_hash == delivery.outcome_hash:
            return Transition(newer)
        case State.SHADOWED:
            return Transition(replace(newer, result=None, skip=None))
        case State.REFUSED | State.SKIPPED:
            return Transition(queued(replace(newer, queued_at=event.now, failures=0, wait_until=None)))
    return Transition(skipped(newer) if newer.skip else newer)


# Requests.


def _due(delivery: Delivery, event: Due, plan: Plan, policy: Policy) -> Transition:
    if (delivery.wait_until or 0) > event.now:
        return Transition(delivery)
    if delivery.state in READY:
        return _open(delivery, event, plan, policy)
    if delivery.state not in DOUBTFUL:
        return Transition(delivery)
    settle = UnknownOutcome.LOOK_UP if delivery.gone else plan.steps[delivery.step].settle
    if settle is UnknownOutcome.LOOK_UP:
        return Transition(delivery, (LookUp(delivery.attempt, delivery.step),))
    if delivery.skip:
        return Transition(skipped(delivery))
    if overdue(delivery, event.now, policy):
        return _overdue(delivery, Overdue(event.now), plan, policy)
    return _open(delivery, event, plan, policy)


def _open(delivery: Delivery, event: Due, plan: Plan, policy: Policy) -> Transition:
    number, deadline = delivery.attempt + 1, event.now + policy.request_limit
    step = event.step or delivery.step
    if delivery.doubt is not None and plan.steps[step].settle is UnknownOutcome.RESEND_SAME:
        intent = replace(delivery.doubt, attempt=number, started_at=event.now, deadline=deadline)
    else:
        intent = Intent(
            number,
            step,
            delivery.version,
            delivery.outcome_hash,
            event.now,
            deadline,
            event.sent,
            event.status,
            event.text,
        )
    opened = replace(delivery, state=State.INTENT, attempt=number, intent=intent, wait_until=None, reason=None)
    if step != delivery.step:
        # What may be repeated blindly leaves no doubt behind; the doubt about another step begins anew.
        opened = replace(opened, step=step, doubt=None)
    if event.no_user:
        opened = replace(opened, unmatched=_with(delivery.unmatched, event.no_user))
    return Transition(opened, (Send(number, step, intent.deadline),))


def _with(unmatched: tuple[str, ...], who: str) -> tuple[str, ...]:
    return unmatched if who in unmatched else (*unmatched, who)


def _answered(delivery: Delivery, event: Answered, plan: Plan, policy: Policy) -> Transition:
    intent = delivery.intent
    if delivery.state is not State.INTENT or intent is None or event.attempt != intent.attempt:
        return Transition(delivery)
    answer = event.answer
    closed = _closed(delivery, intent, event.now, answer.code, _words(answer))
    match answer:
        case Succeeded():
            return Transition(_done(closed, intent, answer.ids, plan, policy, event.now))
        case NotSent():
            return _again(closed, event.now, event.now, policy, failures=delivery.failures)
        case RetryLater():
            until = max(answer.not_before or 0, event.now + policy.backoff(delivery.failures, event.jitter))
            effects = (SlowPortal(until, answer.why),) if answer.whole_portal else ()
            return _again(closed, event.now, until, policy, effects, failures=delivery.failures + 1)
        case PortalBlocked():
            paused = replace(closed, state=State.PAUSED, reason=answer.why)
            return Transition(paused, (PausePortal(answer.why, answer.for_good),))
        case OutcomeUnknown():
            return Transition(_unsure(closed, intent, answer, event, plan, policy))
        case PrerequisiteLost() if plan.steps[delivery.step].restart:
            doubtful = _in_doubt(closed, intent, event.now, answer.why)
            return Transition(replace(doubtful, state=State.LOOKED_UP, gone=True))
        case PrerequisiteMissing() | UserUnknown() | PartlyDone() | SkipCall():
            return _otherwise(delivery, closed, intent, event, plan, policy)
    if delivery.wish == Action.DROP:
        return Transition(skipped(closed))
    refused = replace(closed, state=State.REFUSED, reason=answer.why)
    if plan.steps[delivery.step].settle is UnknownOutcome.RESEND_SAME:
        refused = replace(refused, doubt=None)  # it is an answer to the doubtful request as well
    return Transition(refused, (DeadLetter(DeadLetterReason.REFUSED, answer.why),))


def _otherwise(
    delivery: Delivery, closed: Delivery, intent: Intent, event: Answered, plan: Plan, policy: Policy
) -> Transition:
    """The request as a whole had no effect, or only its first part: what the answer says of going on."""
    answer, now = event.answer, event.now
    match answer:
        case PrerequisiteMissing() if answer.step not in delivery.steps_done:
            detour = replace(closed, state=State.WAITING, step=answer.step, wait_until=now, reason=answer.why)
            return Transition(skipped(detour) if delivery.skip else detour)
        case UserUnknown() if answer.who not in delivery.unmatched:
            told = replace(closed, unmatched=_with(delivery.unmatched, answer.who))
            return _again(told, now, now, policy, failures=delivery.failures)
        case UserUnknown():
            why = f"{answer.why}: check default_user in the portal's settings"
            return Transition(replace(closed, state=State.PAUSED, reason=why), (PausePortal(why),))
        case PartlyDone():
            part = Intent(intent.attempt, answer.done, intent.version, intent.outcome_hash, intent.started_at, now)
            return Transition(replace(_done(closed, part, answer.ids, plan, policy, now), last_error=answer.why))
        case SkipCall():
            return Transition(skipped(replace(closed, skip=answer.why)))
    until = now + policy.backoff(delivery.failures, event.jitter)
    return _again(closed, now, until, policy, failures=delivery.failures + 1)


def _closed(delivery: Delivery, intent: Intent, now: int, outcome: str, why: str) -> Delivery:
    before = next((line.sent for line in reversed(delivery.history) if line.sent and line.step == intent.step), "")
    sent = "" if intent.sent == before else intent.sent
    line = Attempt(intent.attempt, intent.step, intent.version, intent.started_at, now, outcome, why, sent)
    error = None if outcome in (Succeeded.code, CallFound.code) else why
    return replace(delivery, intent=None, history=with_attempt(delivery.history, line), last_error=error)


def _again(
    delivery: Delivery, now: int, until: int, policy: Policy, effects: tuple[Effect, ...] = (), *, failures: int
) -> Transition:
    """Surely without effect: to be sent again, unless it is no longer wanted or its time is over."""
    if delivery.skip:
        return Transition(skipped(delivery), effects)
    if overdue(delivery, now, policy):
        given_up = _given_up(
            delivery, DeadLetterReason.DEADLINE, f"not taken before its deadline; last: {delivery.last_error}"
        )
        return given_up._replace(effects=(*given_up.effects, *effects))
    waiting = replace(
        delivery, state=State.WAITING, wait_until=until, reason=delivery.last_error, failures=failures, gone=False
    )
    return Transition(waiting, effects)


def _done(delivery: Delivery, intent: Intent, ids: Any, plan: Plan, policy: Policy, now: int) -> Delivery:
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
    told = replace(after, sent_version=intent.version, sent_hash=intent.outcome_hash)
    if not plan.steps[intent.step].beside:
        told = replace(told, sent=intent.sent, status=intent.status, text=intent.text)
    return compared(replace(told, delivered_at=now), plan, policy, now)


# Unknown outcomes.


def _unsure(
    delivery: Delivery, intent: Intent, answer: OutcomeUnknown, event: Answered, plan: Plan, policy: Policy
) -> Delivery:
    """What is looked up is so soon after the request can have no more effect; what is repeated is so ever later."""
    until = max(event.now, intent.deadline, answer.not_before or 0)
    doubtful = _in_doubt(delivery, intent, until, answer.why)
    if plan.steps[delivery.step].settle is UnknownOutcome.LOOK_UP:
        return doubtful
    until = max(until, event.now + policy.backoff(delivery.failures, event.jitter))
    return replace(doubtful, wait_until=until, failures=delivery.failures + 1)


def _in_doubt(delivery: Delivery, intent: Intent, until: int, why: str) -> Delivery:
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


def _looked_up(delivery: Delivery, event: LookedUp, plan: Plan, policy: Policy) -> Transition:
    doubt = delivery.doubt
    if delivery.state not in DOUBTFUL or doubt is None or event.attempt != delivery.attempt:
        return Transition(delivery)
    sighting, now = event.sighting, event.now
    match sighting:
        case CallFound():
            found = _closed(delivery, doubt, now, CallFound.code, _words(sighting))
            return Transition(_done(found, doubt, sighting.ids, plan, policy, now))
        case NotFound():
            return _not_found(delivery, doubt, now, plan, policy)
    why = f"the lookup failed: {sighting.why}"
    if overdue(delivery, now, policy) and isinstance(sighting, RetryLater):
        return _given_up(delivery, DeadLetterReason.OUTCOME_UNKNOWN, f"the request's outcome is unknown, and {why}")
    # Asking is harmless, and what hangs on it is a whole call: soon again. A portal that is down has its breaker.
    until = now + policy.backoff(min(delivery.failures, LOOKUP_DOUBLINGS), event.jitter)
    effects: tuple[Effect, ...] = ()
    if isinstance(sighting, PortalBlocked):
        effects = (PausePortal(sighting.why, sighting.for_good),)
    else:
        until = max(until, sighting.not_before or 0)
        effects = (SlowPortal(until, sighting.why),) if sighting.whole_portal else ()
    return Transition(replace(delivery, wait_until=until, failures=delivery.failures + 1, last_error=why), effects)


def _not_found(delivery: Delivery, doubt: Intent, now: int, plan: Plan, policy: Policy) -> Transition:
    since = delivery.not_found_since
    if since is None or now - since < policy.settle:
        since = now if since is None else since
        reason = "looked up and not found; to be looked up once more before that is believed"
        return Transition(
            replace(
                delivery,
                state=State.LOOKED_UP,
                not_found_since=since,
                failures=0,
                wait_until=max(now, since + policy.settle),
                reason=reason,
            )
        )
    believed = _closed(delivery, doubt, now, NotFound.code, "looked up twice over the settle time")
    # What is not there was not delivered; a later version that was not told leaves what was.
    sent_version = delivery.sent_version if plan.revises(doubt.step) else None
    believed = replace(
        believed, doubt=None, not_found_since=None, failures=delivery.failures + 1, sent_version=sent_version
    )
    restart = plan.steps[delivery.step].restart
    if delivery.gone and restart:
        believed = replace(believed, step=restart, steps_done=(), crm_ids={})
    return _again(believed, now, now, policy, failures=believed.failures)


def _recovered(delivery: Delivery, event: Recovered, plan: Plan, policy: Policy) -> Transition:
    """The owner before may have been about to send, and may have been configured with a longer limit."""
    intent = delivery.intent
    if delivery.state is State.INTENT and intent is not None:
        limit = max(policy.request_limit, intent.deadline - intent.started_at)
        why = "its owner was lost"
        closed = _closed(delivery, intent, event.now, "owner_lost", why)
        return Transition(_in_doubt(closed, intent, event.now + limit, why))
    if delivery.state in DOUBTFUL and delivery.not_found_since is not None:
        return Transition(replace(delivery, not_found_since=None))
    if delivery.state is State.PAUSED:
        # The pause was the old owner's knowledge of its portal; the new one finds out by itself.
        return _portal_back(delivery, PortalBack(event.now), plan, policy)
    return Transition(delivery)


# Time and people.


def _overdue(delivery: Delivery, event: Overdue, plan: Plan, policy: Policy) -> Transition:
    if delivery.final or delivery.state is State.INTENT or not overdue(delivery, event.now, policy):
        return Transition(delivery)
    if delivery.skip and delivery.state in READY:
        return Transition(skipped(delivery))
    if delivery.state in DOUBTFUL:
        return _given_up(
            delivery, DeadLetterReason.OUTCOME_UNKNOWN, f"its deadline is over, its outcome unknown: {delivery.reason}"
        )
    return _given_up(delivery, DeadLetterReason.DEADLINE, f"not taken before its deadline; last: {delivery.last_error}")


def _given_up(delivery: Delivery, reason: DeadLetterReason, why: str) -> Transition:
    if delivery.wish == Action.DROP:
        words = f"{delivery.skip}; {why}"
        return Transition(skipped(replace(delivery, skip=words), words))
    return Transition(replace(delivery, state=State.GIVEN_UP, reason=why, wait_until=None), (DeadLetter(reason, why),))


def _portal_back(delivery: Delivery, event: PortalBack, plan: Plan, policy: Policy) -> Transition:
    if delivery.state is not State.PAUSED:
        return Transition(delivery)
    if delivery.skip:
        return Transition(skipped(delivery))
    return Transition(replace(delivery, state=State.WAITING, wait_until=event.now))


def _ordered(delivery: Delivery, event: Ordered, plan: Plan, policy: Policy) -> Transition:
    return Transition(carried_out(delivery, event, plan))


def _shadowed(delivery: Delivery, event: Shadowed, plan: Plan, policy: Policy) -> Transition:
    """Only a call that came while the portal was a shadow: what it was promised before, it gets when it is none."""
    if delivery.state is not State.NEW or delivery.attempt:
        return Transition(delivery)
    shadowed = replace(
        delivery,
        state=State.SHADOWED,
        reason="its portal is a shadow (portals[].shadow): nothing was sent",
        result=None,
        sent_version=delivery.version,
        sent_hash=delivery.outcome_hash,
        sent=event.sent,
        status=event.status,
        text=event.text,
    )
    return Transition(shadowed)


def _words(answer: object) -> str:
    """What was answered: why not, or what the CRM calls what it made."""
    if isinstance(answer, Succeeded | CallFound):
        ids = ", ".join(f"{name} {value}" for name, value in answer.ids.items())
        return "; ".join(part for part in (getattr(answer, "note", ""), ids) if part)
    return str(getattr(answer, "why", ""))


_HANDLERS: dict[type, Callable[[Delivery, Any, Plan, Policy], Transition]] = {
    Arrived: _arrived,
    Due: _due,
    Answered: _answered,
    LookedUp: _looked_up,
    Recovered: _recovered,
    Overdue: _overdue,
    PortalBack: _portal_back,
    Ordered: _ordered,
    Shadowed: _shadowed,
}
