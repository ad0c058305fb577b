"""The delivery of one call to one CRM as a pure state machine: `(state, event) -> (state, effects)`.

    new --Due--> intent --Succeeded--> registered --Due--> intent --Succeeded--> delivered --newer version--> superseded
                   |--RetryLater, NotSent--> waiting --Due--> intent       (surely without effect: repeat)
                   |--PortalBlocked--> paused --PortalBack--> waiting
                   |--UserUnknown--> waiting                               (for somebody else, at once)
                   |--FieldRefused--> waiting                              (without these fields, at once)
                   |--NotYet--> waiting                                    (for a change in the CRM: slowly)
                   |--PrerequisiteMissing--> waiting                       (at the step that has to go before)
                   |--PrerequisiteLost--> looked_up --Due--> look up       (as below; begin again if not found)
                   |--PartlyDone--> registered                             (of two steps in one the first)
                   |--SkipCall--> skipped
                   |--Refused--> refused                                   (dead letter)
                   `--OutcomeUnknown, new owner--> unsure --Due--> look up: CallFound -> step done;
                                                                  NotFound -> looked_up, and twice -> waiting

Once it is delivered, what is to be done beside it follows by the same rules (delivery/follow_ups.py).
Operators' commands (delivery/commands.py) bring back what was refused, given up, skipped or dropped, or drop it. One
that is erased (delivery/erasure.py) is blanked once it is over, and never comes back.

The caller keeps what the machine relies on: one owner a call; the new state is durable before Send is done; an open
request ends before its deadline; the dead letter is durable before the state that goes with it.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from streams.delivery.commands import apply_command, look_up_first
from streams.delivery.erasure import erased_where_over
from streams.delivery.events import (
    Answered,
    Arrived,
    CommandReceived,
    Due,
    Event,
    LookedUp,
    Overdue,
    PortalBack,
    Prepared,
    Recovered,
    Shadowed,
)
from streams.delivery.follow_ups import advance_follow_up, without_needless_result
from streams.delivery.lookups import looked_up, recovered
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import Action, Delivery, State
from streams.delivery.requests import answered, due
from streams.delivery.transitions import Transition, expire, resume_paused
from streams.delivery.versions import after_delivery, is_same_outcome, queued, skipped, with_version


def begin(arrived: Arrived, plan: Plan) -> Delivery:
    """The state of a call that was not known before."""
    blank = Delivery(
        call_id=arrived.call_id,
        crm=plan.crm,
        portal=arrived.portal,
        state=State.NEW,
        step=plan.first,
        queued_at=arrived.now,
    )
    fresh = with_version(blank, arrived)
    if arrived.look_first and not fresh.skip:
        return look_up_first(fresh, arrived.now, plan, "what was known of it is lost: looked up first")
    return queued(fresh)


def advance(delivery: Delivery, event: Event, plan: Plan, policy: Policy) -> Transition:
    """The transition of an event. One that does not fit the state, such as a second answer, changes nothing."""
    transition = _advanced(delivery, event, plan, policy)
    if transition.delivery is delivery:
        return transition
    after = without_needless_result(transition.delivery)
    if after.wish == Action.ERASE:
        after = erased_where_over(after)
    return transition._replace(delivery=replace(after, updated_at=event.now))


def _advanced(delivery: Delivery, event: Event, plan: Plan, policy: Policy) -> Transition:
    """The transition of the call, of the follow-up that the event names, or of all that they are."""
    handler = _HANDLERS[type(event)]
    if isinstance(event, Due | Answered | Prepared | LookedUp) and event.follow_up:
        return advance_follow_up(delivery, event.follow_up, event, plan, policy, handler)
    transition = handler(delivery, event, plan, policy)
    if isinstance(event, Recovered | Overdue | PortalBack):
        for follow_up in delivery.follow_ups:
            further = advance_follow_up(transition.delivery, follow_up.kind, event, plan, policy, handler)
            transition = Transition(further.delivery, (*transition.effects, *further.effects))
    return transition


def _arrived(delivery: Delivery, event: Arrived, plan: Plan, policy: Policy) -> Transition:
    if (event.version, event.correction) <= delivery.order:
        return Transition(delivery)
    newer = with_version(delivery, event)
    match delivery.state:
        case State.DELIVERED | State.SUPERSEDED:
            return Transition(after_delivery(newer, plan, policy, event.now))
        case State.INTENT | State.UNSURE | State.LOOKED_UP | State.GIVEN_UP:
            return Transition(newer)
        case State.REFUSED if is_same_outcome(
            (event.outcome_hash, event.compared_hash), (delivery.outcome_hash, delivery.compared_hash)
        ):
            return Transition(newer)
        case State.SHADOWED:
            return Transition(replace(newer, result=None, skip=None))
        case State.REFUSED | State.SKIPPED:
            return Transition(queued(replace(newer, queued_at=event.now, failures=0, wait_until=None)))
    return Transition(skipped(newer) if newer.skip else newer)


def _overdue(delivery: Delivery, event: Overdue, plan: Plan, policy: Policy) -> Transition:
    return expire(delivery, event.now, policy)


def _portal_back(delivery: Delivery, event: PortalBack, plan: Plan, policy: Policy) -> Transition:
    return resume_paused(delivery, event.now)


def _command_received(delivery: Delivery, event: CommandReceived, plan: Plan, policy: Policy) -> Transition:
    return Transition(apply_command(delivery, event, plan))


def _shadowed(delivery: Delivery, event: Shadowed, plan: Plan, policy: Policy) -> Transition:
    """Only a call that came while the portal was a shadow: one from before is sent when the portal is a real one."""
    if delivery.state is not State.NEW or delivery.attempt:
        return Transition(delivery)
    shadowed = replace(
        delivery,
        state=State.SHADOWED,
        reason="its portal is a shadow (portals[].shadow): nothing was sent",
        result=None,
        sent_version=delivery.version,
        sent_correction=delivery.correction,
        sent_hash=delivery.outcome_hash,
        sent_compared_hash=delivery.compared_hash,
        sent=event.sent,
        status=event.status,
        text=event.text,
    )
    return Transition(shadowed)


def _prepared(delivery: Delivery, event: Prepared, plan: Plan, policy: Policy) -> Transition:
    return Transition(delivery)  # a call itself has no local steps


_HANDLERS: dict[type, Callable[[Delivery, Any, Plan, Policy], Transition]] = {
    Arrived: _arrived,
    Due: due,
    Answered: answered,
    Prepared: _prepared,
    LookedUp: looked_up,
    Recovered: recovered,
    Overdue: _overdue,
    PortalBack: _portal_back,
    CommandReceived: _command_received,
    Shadowed: _shadowed,
}
