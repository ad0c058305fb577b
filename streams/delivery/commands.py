"""The delivery after an operator's command: a rule per action. Pure; a command that is read twice changes nothing."""

from msgspec.structs import replace

from streams.clock import UtcMicros
from streams.delivery.erasure import erasing
from streams.delivery.events import Arrived, CommandReceived
from streams.delivery.plan import Plan, UnknownOutcome
from streams.delivery.record import DOUBTFUL, MAX_COMMANDS, Action, Delivery, FollowUp, Intent, State
from streams.delivery.versions import UNWANTED, queued, skipped, with_version

_STOPPED = frozenset({State.REFUSED, State.GIVEN_UP, State.DROPPED})
"""A person took over, or nobody: RETRY brings these back."""
_NOT_SENT = frozenset({State.SKIPPED, State.SHADOWED})
_SENT = frozenset({State.DELIVERED, State.SUPERSEDED})


def apply_command(delivery: Delivery, event: CommandReceived, plan: Plan) -> Delivery:
    """The delivery after a command; the command is remembered even where there was nothing to do."""
    command = event.command
    if any(known.id == command.id for known in delivery.orders):
        return delivery
    remembered = replace(delivery, orders=(*delivery.orders, command)[-MAX_COMMANDS:])
    if command.action is Action.ERASE:
        return erasing(remembered)
    if delivery.wish == Action.ERASE:
        return remembered  # nothing brings it back
    match command.action:
        case Action.DROP:
            return _drop(remembered, event)
        case Action.RETRY:
            return _retry(remembered, event)
    return _deliver(remembered, event, plan)


def begin_from_command(event: CommandReceived, plan: Plan) -> Delivery | None:
    """The delivery of a call that is not known, or no longer; None: there is nothing to do, or nothing to send."""
    arrived, command = event.arrived, event.command
    if arrived is None or command.action in UNWANTED:
        return None
    blank = Delivery(
        call_id=arrived.call_id,
        crm=plan.crm,
        portal=arrived.portal,
        state=State.NEW,
        step=plan.first,
        queued_at=event.now,
        wish=Action.DELIVER.value if command.action is Action.DELIVER else "",
        orders=(command,),
    )
    fresh = with_version(blank, arrived)
    # A delivery that failed was begun once, and what was known of it is forgotten.
    look_first = event.look_first or command.action is Action.RETRY
    return (
        look_up_first(fresh, event.now, plan, _by(event, "ordered")) if look_first and not fresh.skip else queued(fresh)
    )


def _drop(delivery: Delivery, event: CommandReceived) -> Delivery:
    if delivery.state in _SENT | {State.SHADOWED, State.DROPPED}:
        return delivery
    unwanted = replace(delivery, wish=Action.DROP.value, skip=_by(event, "dropped"))
    # A request that is out, or may have had its effect, is followed to its end: then it is known what the CRM shows.
    return unwanted if delivery.state in DOUBTFUL | {State.INTENT} else skipped(unwanted)


def _retry(delivery: Delivery, event: CommandReceived) -> Delivery:
    if delivery.state in (State.WAITING, State.PAUSED):
        return replace(delivery, state=State.WAITING, wait_until=event.now, failures=0)
    if delivery.state not in _STOPPED:
        return delivery
    wish = "" if delivery.wish == Action.DROP else delivery.wish
    sendable = _with_result(replace(delivery, wish=wish), event.arrived)
    return _resume(sendable, event) if sendable is not None else delivery


def _deliver(delivery: Delivery, event: CommandReceived, plan: Plan) -> Delivery:
    wanted = replace(delivery, wish=Action.DELIVER.value)
    if delivery.state not in _STOPPED | _NOT_SENT | _SENT:
        skip = None if delivery.wish == Action.DROP else delivery.skip
        return replace(wanted, skip=skip)
    sendable = _with_result(wanted, event.arrived)
    if sendable is None:
        return delivery
    if sendable.skip:
        return replace(delivery, reason=f"{_by(event, 'ordered')}, but {sendable.skip}")
    if delivery.state in _STOPPED:
        return _resume(sendable, event)
    sendable = replace(sendable, follow_ups=_ordered_again(sendable.follow_ups, event.now))
    if delivery.state is State.SHADOWED:  # its record of what was sent is of what would have been sent
        sendable = replace(
            sendable,
            sent_version=None,
            sent_correction=0,
            sent_hash=None,
            sent_compared_hash="",
            sent=None,
            status=None,
            text=None,
        )
    if delivery.state in _SENT or event.look_first:
        return look_up_first(sendable, event.now, plan, _by(event, "ordered"))
    return replace(
        queued(sendable), queued_at=event.now, failures=0, wait_until=event.now, reason=_by(event, "ordered")
    )


def _ordered_again(known: tuple[FollowUp, ...], now: UtcMicros) -> tuple[FollowUp, ...]:
    """The follow-ups of a call that is ordered again: what ended without success begins anew, or with its lookup."""
    stopped = {State.REFUSED, State.GIVEN_UP, State.SKIPPED}
    return tuple(_resumed(each, now) if each.state in stopped else each for each in known)


def _resumed(follow_up: FollowUp, now: UtcMicros) -> FollowUp:
    again = replace(follow_up, queued_at=now, wait_until=now, failures=0, not_found_since=None, reason=None)
    if follow_up.doubt is not None:
        return replace(again, state=State.UNSURE)
    return replace(again, state=State.WAITING, step="", steps_done=(), ids={})


def _with_result(delivery: Delivery, arrived: Arrived | None) -> Delivery | None:
    """The delivery with the bytes to send, never of an older version than was seen; None: nobody has them any more."""
    if arrived is not None and (arrived.version, arrived.correction) >= delivery.order:
        return with_version(delivery, arrived)
    return delivery if delivery.result is not None else None


def _resume(delivery: Delivery, event: CommandReceived) -> Delivery:
    """Go on where the delivery stopped; one in doubt is looked up first."""
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


def look_up_first(delivery: Delivery, now: UtcMicros, plan: Plan, why: str) -> Delivery:
    """The call may stand in the CRM: it is looked up, and sent only if it is not there."""
    done = (step for step in reversed(delivery.steps_done) if plan.steps[step].then is None and not plan.revises(step))
    last = next(done, plan.path[-1])
    fresh = replace(
        delivery,
        queued_at=now,
        failures=0,
        wait_until=now,
        not_found_since=None,
        intent=None,
        reason=why,
    )
    if plan.steps[last].unknown_outcome is not UnknownOutcome.LOOK_UP:
        # Such a CRM cannot be asked, and tells repeated calls by their id.
        return replace(fresh, state=State.NEW, step=plan.first, steps_done=(), doubt=None)
    doubt = Intent(
        attempt=fresh.attempt,
        step=last,
        version=fresh.sent_version or fresh.version,
        correction=fresh.sent_correction if fresh.sent_version else fresh.correction,
        outcome_hash=fresh.sent_hash or fresh.outcome_hash,
        compared_hash=fresh.sent_compared_hash if fresh.sent_hash else fresh.compared_hash,
        started_at=fresh.call_ended_at or now,
        deadline=now,
        sent=fresh.sent or "",
        status=fresh.status,
        text=fresh.text,
    )
    gone = plan.steps[last].restart is not None
    return replace(fresh, state=State.UNSURE, step=last, doubt=doubt, gone=gone)


def _by(event: CommandReceived, verb: str) -> str:
    note = f" ({event.command.note})" if event.command.note else ""
    return f"{verb} by {event.command.by}{note}"
