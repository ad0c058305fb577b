"""One call's delivery to one CRM for people and scripts: as lines, and as JSON."""

from collections.abc import Iterator
from typing import Any

import orjson

from streams.clock import format_span, format_time
from streams.delivery.record import Attempt, Delivery, FollowUp
from streams.operations.deliveries import WAITING
from streams.operations.labels import OUTCOMES, STATES, follow_up_words
from streams.operations.masking import masked, masked_fields, masked_text


def delivery_to_json(delivery: Delivery, *, numbers: bool) -> dict[str, Any]:
    """A delivery as JSON: the fields of its record, requests parsed, the result's bytes left out."""
    fields = delivery.record()
    fields["result_held"] = fields.pop("result") is not None
    for request in (fields, fields["intent"], fields["doubt"], *fields["history"]):
        if request:
            request["sent"] = masked_fields(request["sent"], numbers=numbers)
    return {**masked(fields, numbers=numbers), "call_id": delivery.call_id}


def delivery_lines(delivery: Delivery, now: int, *, numbers: bool) -> Iterator[str]:
    """A delivery as lines for people. `now`: UTC microseconds."""
    yield f"{delivery.call_id} at {delivery.crm} (portal {delivery.portal}): {STATES[delivery.state]}"
    if delivery.reason:
        yield f"  {masked_text(delivery.reason, numbers=numbers)}"
    yield f"  call ended {format_time(delivery.call_ended_at)}; taken up {format_time(delivery.queued_at)}"
    if delivery.delivered_at:
        yield f"  delivered {format_time(delivery.delivered_at)}"
    if delivery.status or delivery.text:
        yield f"  status {' '.join(part for part in (delivery.status, delivery.text) if part)}"
    if delivery.crm_ids:
        yield f"  in the CRM: {', '.join(f'{name} {value}' for name, value in sorted(delivery.crm_ids.items()))}"
    for order in delivery.orders:
        yield f"  ordered: {order.action.value} by {order.by}, {format_time(order.at)}" + (
            order.note and f": {order.note}"
        )
    if delivery.history:
        yield "  attempts:"
    for attempt in delivery.history:
        yield from _attempt(attempt, numbers=numbers)
    yield from _open(delivery, now, numbers=numbers)
    for follow_up in delivery.follow_ups:
        yield from _follow_up(follow_up, now, numbers=numbers)
    if delivery.sent and not delivery.history:
        yield from _sent("would be sent", delivery.sent, numbers=numbers)


def _follow_up(follow_up: FollowUp, now: int, *, numbers: bool) -> Iterator[str]:
    """What follows the call: how it stands, and its last attempt."""
    yield f"  {follow_up.kind}: {follow_up_words(follow_up.kind, follow_up.state)}"
    if follow_up.reason:
        yield f"    {masked_text(follow_up.reason, numbers=numbers)}"
    if follow_up.history:
        yield from _attempt(follow_up.history[-1], numbers=numbers)
    if not follow_up.ended and follow_up.wait_until and follow_up.wait_until > now:
        yield f"    next: {follow_up.step}, {format_time(follow_up.wait_until)}"


def _attempt(attempt: Attempt, *, numbers: bool) -> Iterator[str]:
    took = format_span(attempt.ended_at - attempt.started_at)
    outcome = OUTCOMES.get(attempt.outcome, attempt.outcome)
    why = f" ({masked_text(attempt.explanation, numbers=numbers)})" if attempt.explanation else ""
    yield f"    {attempt.attempt}. {format_time(attempt.started_at)} {attempt.step}, {took}: {outcome}{why}"
    if attempt.sent:
        yield from _sent("sent", attempt.sent, numbers=numbers)


def _open(delivery: Delivery, now: int, *, numbers: bool) -> Iterator[str]:
    if delivery.intent is not None:
        intent = delivery.intent
        began, ends = format_time(intent.started_at), format_time(intent.deadline)
        yield f"    {intent.attempt}. {began} {intent.step}: open, until {ends}"
        yield from _sent("sent", intent.sent, numbers=numbers)
    if delivery.state in WAITING and delivery.due_at is not None:
        soon = delivery.due_at <= now
        yield f"  next: {delivery.step}, {'as soon as its portal has room' if soon else format_time(delivery.due_at)}"


def _sent(what: str, sent: str, *, numbers: bool) -> Iterator[str]:
    fields = masked_fields(sent, numbers=numbers)
    if not isinstance(fields, dict):
        yield f"         {what}: {fields}"
        return
    text = " ".join(
        f"{name}={value if isinstance(value, str) else orjson.dumps(value).decode()}" for name, value in fields.items()
    )
    yield f"         {what}: {text}"
