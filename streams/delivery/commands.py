"""What an operator's command makes of a delivery. Pure; a command that is read twice changes nothing."""

from msgspec.structs import replace

from streams.delivery.events import Arrived, Ordered
from streams.delivery.plan import Plan, UnknownOutcome
from streams.delivery.record import DOUBTFUL, ORDERS, Action, Delivery, Intent, State
from streams.delivery.versions import queued, skipped, with_version

_GIVEN_BACK = frozenset({State.REFUSED, State.GIVEN_UP, State.DROPPED})
_NOT_SENT = frozenset({State.SKIPPED, State.SHADOWED})
_SENT = frozenset({State.DELIVERED, State.SUPERSEDED})


def carried_out(delivery: Delivery, event: Ordered, plan: Plan) -> Delivery:
    """The delivery after a command; the command is remembered even where there was nothing to do."""
    order = event.order
    if any(known.id == order.id for known in delivery.orders):
        return delivery
    noted = replace(delivery, orders=(*delivery.orders, order)[-ORDERS:])
    match order.action:
        case Action.DROP:
            return _dropped(noted, event)
        case Action.RETRY:
            return _retried(noted, event)
    return _delivered_anyway(noted, event, plan)


def begun(event: Ordered, plan: Plan) -> Delivery | None:
    """The delivery of a call that is not known, or no longer; None: there is nothing to do, or nothing to send."""
    arrived, order = event.arrived, event.order
    if arrived is None or order.action is Action.DROP:
        return None
    wish = Action.DELIVER.value if order.action is Action.DELIVER else ""
    blank = Delivery(
        arrived.call_id,
        plan.crm,
        arrived.portal,
        State.NEW,
        step=plan.first,
        queued_at=event.now,
        wish=wish,
        orders=(order,),
    )
    fresh = with_version(blank, arrived)
    # What failed once was begun once, and what is known of it was forgotten.
    look_first = event.look_first or order.action is Action.RETRY
    return _looked_for(fresh, event, plan) if look_first and not fresh.skip else queued(fresh)


def _dropped(delivery: Delivery, event: Ordered) -> Delivery:
    if delivery.state in _SENT | {State.SHADOWED, State.DROPPED}:
        return delivery
    unwanted = replace(delivery, wish=Action.DROP.value, skip=_by(event, "dropped"))
    # What is out, or may have had its effect, is followed to its end: then it is known what stands in the CRM.
    return unwanted if delivery.state in DOUBTFUL | {State.INTENT} else skipped(unwanted)


def _retried(delivery: Delivery, event: Ordered) -> Delivery:
    if delivery.state in (State.WAITING, State.PAUSED):
        return replace(delivery, state=State.WAITING, wait_until=event.now, failures=0)
    if delivery.state not in _GIVEN_BACK:
        return delivery
    wish = "" if delivery.wish == Action.DROP else delivery.wish
    held = _with_result(replace(delivery, wish=wish), event.arrived)
    return _taken_up(held, event) if held is not None else delivery


def _delivered_anyway(delivery: Delivery, event: Ordered, plan: Plan) -> Delivery:
    wanted = replace(delivery, wish=Action.DELIVER.value)
    if delivery.state not in _GIVEN_BACK | _NOT_SENT | _SENT:
        skip = None if delivery.wish == Action.DROP else delivery.skip
        return replace(wanted, skip=skip)
    held = _with_result(wanted, event.arrived)
    if held is None:
        return delivery
    if held.skip:
        return replace(delivery, reason=f"{_by(event, 'ordered')}, but {held.skip}")
    if delivery.state in _GIVEN_BACK:
        return _taken_up(held, event)
    if delivery.state is State.SHADOWED:  # what it says of sending was never sent
        held = replace(held, sent_version=None, sent_hash=None, sent=None, status=None, text=None)
    if delivery.state in _SENT or event.look_first:
        return _looked_for(held, event, plan)
    return replace(queued(held), queued_at=event.now, failures=0, wait_until=event.now, reason=_by(event, "ordered"))


def _with_result(delivery: Delivery, arrived: Arrived | None) -> Delivery | None:
    """With the bytes that are to be sent, never of an older version than was seen; None: nobody has them any more."""
    if arrived is not None and arrived.version >= delivery.version:
        return with_version(delivery, arrived)
    return delivery if delivery.result is not None else None


def _taken_up(delivery: Delivery, event: Ordered) -> Delivery:
    """Where it stopped; one in doubt is looked up first."""
    if delivery.skip:
        return skipped(delivery)
    return replace(
        delivery,
        state=State.UNSURE if delivery.doubt else State.WAITING,
        queued_at=event.now,
        failures=0,
        wait_until=event.now,
        reason=_by(event, "ordered"),
    )


def _looked_for(delivery: Delivery, event: Ordered, plan: Plan) -> Delivery:
    """It may stand in the CRM: looked up, and sent only if it is not there."""
    done = (step for step in reversed(delivery.steps_done) if plan.steps[step].then is None and not plan.revises(step))
    last = next(done, plan.path[-1])
    fresh = replace(
        delivery,
        queued_at=event.now,
        failures=0,
        wait_until=event.now,
        not_found_since=None,
        intent=None,
        reason=_by(event, "ordered"),
    )
    if (
        plan.steps[last].settle is not UnknownOutcome.LOOK_UP
    ):  # it cannot be asked, and tells repeated calls by their id
        return replace(fresh, state=State.NEW, step=plan.first, steps_done=(), doubt=None)
    doubt = Intent(
        fresh.attempt,
        last,
        fresh.sent_version or fresh.version,
        fresh.sent_hash or fresh.outcome_hash,
        fresh.call_ended_at or event.now,
        event.now,
        fresh.sent or "",
        fresh.status,
        fresh.text,
    )
    gone = plan.steps[last].restart is not None
    return replace(fresh, state=State.UNSURE, step=last, doubt=doubt, gone=gone)


def _by(event: Ordered, what: str) -> str:
    note = f" ({event.order.note})" if event.order.note else ""
    return f"{what} by {event.order.by}{note}"
