"""What is done beside a call once it is in the CRM, such as its recording: a small delivery inside of the call's own.

    new --Due, Prepared--> .. the states of the machine .. --> delivered, skipped, refused, given_up

The machine's own rules carry a follow-up: `follow_up_view` shows it to them as a delivery with the follow-up's state,
steps and attempts and the call's ids and result, and `_folded` puts back what they made of it. So a follow-up has the
guarantees of a call: intent before the request, unknown outcomes settled as its plan says, one open request at a time.
Only three things differ:

* The call never waits for it. A request of a follow-up is due when the call itself is in the CRM and nothing of the
  call is due. Where a request of unknown outcome may still take effect, and both may write the same entry
  (Plan.writes_call), a later version of the call waits that out.
* A local step (Step.is_local) asks nobody at the portal; it may be taken before the call is in the CRM, beside its
  requests, and needs no intent.
* It ends quietly: the call stands in the CRM, so that there is nothing for the dead letters. State and reason stay in
  the delivery.

An operator who orders a delivered call again orders its follow-ups too, those that ended without success.

A kind is: its steps in the `follow_ups` of a CRM's plan, their requests in the CRM's client, and whoever asks for it of
a call (Arrived.follow_ups; the worker's intake).
"""

from collections.abc import Callable
from dataclasses import replace as replaced
from typing import Any

from msgspec.structs import replace

from streams.clock import UtcMicros
from streams.delivery.events import Answered, DeadLetter, Event, LookUp, Prepared, Send
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import FINAL, IN_CRM, READY, Delivery, FollowUp, Intent, State
from streams.delivery.requests import answered
from streams.delivery.transitions import Transition

Handler = Callable[[Delivery, Any, Plan, Policy], Transition]
"""A rule of the machine for one kind of event."""


def follow_up_of(delivery: Delivery, kind: str) -> FollowUp | None:
    """The follow-up of this kind; None: there is none."""
    return next((each for each in delivery.follow_ups if each.kind == kind), None)


def step_of(follow_up: FollowUp, plan: Plan) -> str:
    """The step that is next, or under way."""
    return follow_up.step or plan.follow_ups[follow_up.kind].first


def follow_up_view(delivery: Delivery, kind: str, plan: Plan, now: UtcMicros = 0) -> Delivery:
    """The follow-up as a delivery, for the machine's rules and for the CRM's client. `sent`: what stands in the CRM.

    Raises KeyError where there is none of this kind.
    """
    follow_up = follow_up_of(delivery, kind)
    if follow_up is None:
        raise KeyError(kind)
    return replace(
        delivery,
        state=follow_up.state,
        reason=follow_up.reason,
        step=step_of(follow_up, plan),
        steps_done=follow_up.steps_done,
        queued_at=follow_up.queued_at or now,
        delivered_at=None,
        attempt=follow_up.attempt,
        failures=follow_up.failures,
        intent=follow_up.intent,
        doubt=follow_up.doubt,
        gone=False,
        wait_until=follow_up.wait_until,
        not_found_since=follow_up.not_found_since,
        crm_ids={**delivery.crm_ids, **follow_up.ids},
        sent_version=None,
        sent_hash=None,
        sent_compared_hash="",
        skip=None,
        last_error=follow_up.last_error,
        history=follow_up.history,
        wish="",
        follow_ups=(),
    )


def advance_follow_up(
    delivery: Delivery, kind: str, event: Event, plan: Plan, policy: Policy, handler: Handler
) -> Transition:
    """The transition of an event that is about a follow-up; one that is not there (any more) changes nothing."""
    follow_up = follow_up_of(delivery, kind)
    own = plan.follow_ups.get(kind)
    if follow_up is None or own is None or follow_up.ended:
        return Transition(delivery)
    view = follow_up_view(delivery, kind, plan, event.now)
    policy = replaced(policy, deadline_us=policy.deadline_us + policy.follow_up_us, on_revision="keep")
    after = _prepared(view, event, own, policy) if isinstance(event, Prepared) else handler(view, event, own, policy)
    effects = tuple(
        replaced(effect, follow_up=kind) if isinstance(effect, Send | LookUp) else effect
        for effect in after.effects
        if not isinstance(effect, DeadLetter)
    )
    if after.delivery is view:
        return Transition(delivery, effects)
    return Transition(_folded(delivery, follow_up, after.delivery, event.now), effects)


def _prepared(view: Delivery, event: Prepared, plan: Plan, policy: Policy) -> Transition:
    """A local step had no effect, whatever became of it: its attempt begins and ends here."""
    if view.state not in READY or not plan.steps[view.step].is_local:
        return Transition(view)
    number = view.attempt + 1
    intent = Intent(
        attempt=number,
        step=view.step,
        version=view.version,
        correction=view.correction,
        outcome_hash=view.outcome_hash,
        compared_hash=view.compared_hash,
        started_at=event.now,
        deadline=event.now,
    )
    opened = replace(view, state=State.INTENT, attempt=number, intent=intent, wait_until=None, reason=None)
    return answered(opened, Answered(event.now, number, event.answer, event.jitter), plan, policy)


def _folded(delivery: Delivery, follow_up: FollowUp, view: Delivery, now: UtcMicros) -> Delivery:
    """The delivery with what the rules made of a follow-up's view."""
    done = view.state in IN_CRM
    after = FollowUp(
        kind=follow_up.kind,
        state=State.DELIVERED if done else view.state,
        reason=None if done else view.reason,
        step=view.step,
        steps_done=view.steps_done,
        queued_at=view.queued_at,
        updated_at=now,
        attempt=view.attempt,
        failures=view.failures,
        intent=view.intent,
        doubt=view.doubt,
        wait_until=view.wait_until,
        not_found_since=view.not_found_since,
        ids={name: value for name, value in view.crm_ids.items() if delivery.crm_ids.get(name) != value},
        last_error=view.last_error,
        history=view.history,
    )
    follow_ups = tuple(after if each is follow_up else each for each in delivery.follow_ups)
    return replace(delivery, follow_ups=follow_ups, unmatched=view.unmatched)


def without_needless_result(delivery: Delivery) -> Delivery:
    """The delivery without its result where it is in the CRM and the last follow-up has ended."""
    needless = delivery.result is not None and delivery.state in IN_CRM and delivery.over
    return replace(delivery, result=None) if needless else delivery


# When what is due.


def is_over(fields: dict[str, Any]) -> bool:
    """As Delivery.over, for the fields that the Avro codec read."""
    state = fields["state"]
    return state in FINAL and not (state in IN_CRM and any(each["state"] not in FINAL for each in fields["follow_ups"]))


def due_at_portal(delivery: Delivery, plan: Plan) -> tuple[UtcMicros, str] | None:
    """When a request to the portal is due (0: now), and for which follow-up, empty for the call itself.

    None: never, or not before the portal or an open request lets it.
    """
    if not delivery.final:
        due = delivery.due_at
        return None if due is None else (max(due, _may_take_effect_until(delivery, plan)), "")
    if delivery.state not in IN_CRM:
        return None
    waiting = [
        (each.wait_until or 0, each.kind)
        for each in delivery.follow_ups
        if _waits(each, plan) and not _is_local(each, plan)
    ]
    return min(waiting, default=None)


def due_to_prepare(delivery: Delivery, plan: Plan) -> tuple[UtcMicros, str] | None:
    """When a local step is due (0: now), and of which follow-up; None: none is."""
    if delivery.over:
        return None
    waiting = [
        (each.wait_until or 0, each.kind)
        for each in delivery.follow_ups
        if _waits(each, plan) and _is_local(each, plan)
    ]
    return min(waiting, default=None)


def waits_for_portal(delivery: Delivery) -> bool:
    """Whether the call, or what follows it, waits until its portal is back from a pause."""
    if not delivery.final:
        return delivery.state is State.PAUSED
    return delivery.state in IN_CRM and any(each.state is State.PAUSED for each in delivery.follow_ups)


def _waits(follow_up: FollowUp, plan: Plan) -> bool:
    return (
        not follow_up.ended
        and follow_up.state not in (State.INTENT, State.PAUSED)
        and follow_up.kind in plan.follow_ups
    )


def _is_local(follow_up: FollowUp, plan: Plan) -> bool:
    return plan.follow_ups[follow_up.kind].steps[step_of(follow_up, plan)].is_local


def _may_take_effect_until(delivery: Delivery, plan: Plan) -> UtcMicros:
    """Until when a request of a follow-up, answered or not, may still write what the call's next request writes."""
    writing = [each for each in delivery.follow_ups if each.kind in plan.follow_ups]
    doubtful = [
        each
        for each in writing
        if each.doubt is not None and each.state is State.UNSURE and plan.follow_ups[each.kind].writes_call
    ]
    return max((each.wait_until or 0 for each in doubtful), default=0)
