"""A delivery's requests: the next one opened when the delivery is due, and the answer to it."""

from msgspec.structs import replace

from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    FieldRefused,
    NotSent,
    NotYet,
    OutcomeUnknown,
    PartlyDone,
    PortalBlocked,
    PrerequisiteLost,
    PrerequisiteMissing,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
    explanation,
)
from streams.delivery.events import Answered, DeadLetter, Due, LookUp, PausePortal, Send, SlowPortal
from streams.delivery.plan import Plan, Policy, UnknownOutcome
from streams.delivery.record import AWAITS_CHANGE, DOUBTFUL, READY, Delivery, Intent, State
from streams.delivery.transitions import Transition, close_attempt, expire, in_doubt, overdue, retry, step_done
from streams.delivery.versions import UNWANTED, skipped


def due(delivery: Delivery, event: Due, plan: Plan, policy: Policy) -> Transition:
    """Open the next request, or look for the effect of the last one."""
    if (delivery.wait_until or 0) > event.now:
        return Transition(delivery)
    if delivery.state in READY:
        return _open(delivery, event, plan, policy)
    if delivery.state not in DOUBTFUL:
        return Transition(delivery)
    settled_by = UnknownOutcome.LOOK_UP if delivery.gone else plan.steps[delivery.step].unknown_outcome
    if settled_by is UnknownOutcome.LOOK_UP:
        return Transition(delivery, (LookUp(delivery.attempt, delivery.step),))
    if delivery.skip:
        return Transition(skipped(delivery))
    if overdue(delivery, event.now, policy):
        return expire(delivery, event.now, policy)
    return _open(delivery, event, plan, policy)


def _open(delivery: Delivery, event: Due, plan: Plan, policy: Policy) -> Transition:
    number, deadline = delivery.attempt + 1, event.now + policy.request_limit_us
    step = event.step or delivery.step
    if delivery.doubt is not None and plan.steps[step].unknown_outcome is UnknownOutcome.RESEND_SAME:
        intent = replace(delivery.doubt, attempt=number, started_at=event.now, deadline=deadline)
    else:
        intent = Intent(
            attempt=number,
            step=step,
            version=delivery.version,
            correction=delivery.correction,
            outcome_hash=delivery.outcome_hash,
            compared_hash=delivery.compared_hash,
            started_at=event.now,
            deadline=deadline,
            sent=event.sent,
            status=event.status,
            text=event.text,
        )
    opened = replace(delivery, state=State.INTENT, attempt=number, intent=intent, wait_until=None, reason=None)
    if step != delivery.step:
        # A step that may be repeated blindly leaves no doubt behind; the doubt about another step begins anew.
        opened = replace(opened, step=step, doubt=None)
    if event.no_user:
        opened = replace(opened, unmatched=_with(delivery.unmatched, event.no_user))
    return Transition(opened, (Send(number, step, intent.deadline),))


def _with(unmatched: tuple[str, ...], who: str) -> tuple[str, ...]:
    return unmatched if who in unmatched else (*unmatched, who)


def field_ref(name: str) -> str:
    """The entry in `Delivery.unmatched` of a field that the CRM does not take of us."""
    return f"field:{name}"


def answered(delivery: Delivery, event: Answered, plan: Plan, policy: Policy) -> Transition:
    """The state after the answer to the open request; an answer to an earlier attempt changes nothing."""
    intent = delivery.intent
    if delivery.state is not State.INTENT or intent is None or event.attempt != intent.attempt:
        return Transition(delivery)
    answer = event.answer
    closed = close_attempt(delivery, intent, event.now, answer.code, explanation(answer))
    match answer:
        case Succeeded():
            return Transition(step_done(closed, intent, answer.ids, plan, policy, event.now))
        case NotSent():
            return retry(closed, event.now, event.now, policy, failures=delivery.failures)
        case RetryLater():
            until = max(answer.not_before or 0, event.now + policy.backoff_us(delivery.failures, event.jitter))
            effects = (SlowPortal(until, answer.why),) if answer.whole_portal else ()
            return retry(closed, event.now, until, policy, effects, failures=delivery.failures + 1)
        case NotYet():
            until = event.now + policy.patient_wait_us(event.now - delivery.queued_at)
            waiting = retry(closed, event.now, until, policy, failures=delivery.failures)
            if waiting.delivery.state is not State.WAITING:
                return waiting
            return Transition(replace(waiting.delivery, reason=f"{AWAITS_CHANGE}{answer.why}"))
        case PortalBlocked():
            paused = replace(closed, state=State.PAUSED, reason=answer.why)
            return Transition(paused, (PausePortal(answer.why, answer.for_good, answer.rarely),))
        case OutcomeUnknown():
            return Transition(_outcome_unknown(closed, intent, answer, event, plan, policy))
        case PrerequisiteLost() if plan.steps[delivery.step].restart:
            doubtful = in_doubt(closed, intent, event.now, answer.why)
            return Transition(replace(doubtful, state=State.LOOKED_UP, gone=True))
        case PrerequisiteMissing() | UserUnknown() | FieldRefused() | PartlyDone() | SkipCall():
            return _other_way(delivery, closed, intent, event, plan, policy)
    if delivery.wish in UNWANTED:
        return Transition(skipped(closed))
    refused = replace(closed, state=State.REFUSED, reason=answer.why)
    if plan.steps[delivery.step].unknown_outcome is UnknownOutcome.RESEND_SAME:
        refused = replace(refused, doubt=None)  # the doubtful request was the same one, so this answers it as well
    return Transition(refused, (DeadLetter(DeadLetterReason.REFUSED, answer.why),))


def _other_way(
    delivery: Delivery, closed: Delivery, intent: Intent, event: Answered, plan: Plan, policy: Policy
) -> Transition:
    """Go on as the answer says: the request had no effect, or only its first part had."""
    answer, now = event.answer, event.now
    match answer:
        case PrerequisiteMissing() if answer.step not in delivery.steps_done:
            detour = replace(closed, state=State.WAITING, step=answer.step, wait_until=now, reason=answer.why)
            return Transition(skipped(detour) if delivery.skip else detour)
        case UserUnknown() if answer.who not in delivery.unmatched:
            without = replace(closed, unmatched=_with(delivery.unmatched, answer.who))
            return retry(without, now, now, policy, failures=delivery.failures)
        case FieldRefused() if any(field_ref(name) not in delivery.unmatched for name in answer.fields):
            unmatched = delivery.unmatched
            for name in answer.fields:
                unmatched = _with(unmatched, field_ref(name))
            return retry(replace(closed, unmatched=unmatched), now, now, policy, failures=delivery.failures)
        case UserUnknown():
            why = f"{answer.why}: check default_user in the portal's settings"
            return Transition(replace(closed, state=State.PAUSED, reason=why), (PausePortal(why),))
        case PartlyDone():
            part = Intent(
                attempt=intent.attempt,
                step=answer.done,
                version=intent.version,
                correction=intent.correction,
                outcome_hash=intent.outcome_hash,
                compared_hash=intent.compared_hash,
                started_at=intent.started_at,
                deadline=now,
            )
            return Transition(replace(step_done(closed, part, answer.ids, plan, policy, now), last_error=answer.why))
        case SkipCall():
            return Transition(skipped(replace(closed, skip=answer.why)))
    until = now + policy.backoff_us(delivery.failures, event.jitter)
    return retry(closed, now, until, policy, failures=delivery.failures + 1)


def _outcome_unknown(
    delivery: Delivery, intent: Intent, answer: OutcomeUnknown, event: Answered, plan: Plan, policy: Policy
) -> Delivery:
    """A lookup follows as soon as the request can have no more effect; a repeated request backs off besides."""
    until = max(event.now, intent.deadline, answer.not_before or 0)
    doubtful = in_doubt(delivery, intent, until, answer.why)
    if plan.steps[delivery.step].unknown_outcome is UnknownOutcome.LOOK_UP:
        return doubtful
    until = max(until, event.now + policy.backoff_us(delivery.failures, event.jitter))
    return replace(doubtful, wait_until=until, failures=delivery.failures + 1)
