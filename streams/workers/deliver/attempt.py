"""One attempt at a call's delivery: the intent made durable, one request or lookup, its outcome made durable."""

import asyncio
import random
from typing import Protocol

import structlog

from streams.clock import MICROS_PER_SECOND, BootSeconds, boot_seconds, utc_now_us
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    Answer,
    LookupResult,
    NotSent,
    OutcomeUnknown,
    PortalBlocked,
    RetryLater,
    metric_label,
)
from streams.delivery.events import (
    Answered,
    DeadLetter,
    Due,
    Event,
    LookedUp,
    LookUp,
    PausePortal,
    Prepared,
    Send,
    SlowPortal,
)
from streams.delivery.follow_ups import follow_up_view
from streams.delivery.machine import advance
from streams.delivery.plan import Plan
from streams.delivery.record import Delivery, State
from streams.delivery.transitions import Transition
from streams.workers.deliver import metrics
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.preparations import Preparer
from streams.workers.deliver.states import DeliveryStates

_log = structlog.get_logger("deliver")

LOOKUP_REQUESTS = 10
"""A lookup may last as long as so many requests: through the pages of a busy hour, at the portal's rate."""


class DeliveryEscalation(Protocol):
    """The worker's part where a delivery, or its portal, needs a person."""

    async def send_to_dead_letters(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        """Write a delivery to the dead letters. Returns when the brokers have it."""
        ...

    async def disable_portal(self, queue: PortalQueue, why: str) -> None:
        """Close a portal that wants no more. Returns when no restart forgets that."""
        ...


class AttemptRunner:
    """Makes the attempts of one partition's deliveries. The caller sees to it that a call has one at a time."""

    def __init__(self, plan: Plan, states: DeliveryStates, escalation: DeliveryEscalation) -> None:
        self._plan = plan
        self._states = states
        self._escalation = escalation

    async def run(self, delivery: Delivery, follow_up: str, queue: PortalQueue) -> None:
        """Make the request or the lookup that is due, after the queue's throttle admitted it.

        `follow_up`: of which follow-up; empty: of the call itself.
        """
        requested = False
        try:
            asked = self._asked(delivery, follow_up, queue)
            request = queue.client.request(asked, self._states.result_of(delivery))
            began = boot_seconds()
            due = Due(
                utc_now_us(), request.sent, request.status, request.text, request.step, request.no_user, follow_up
            )
            transition = await self.apply(delivery, due, queue)
            for effect in transition.effects:
                if isinstance(effect, Send):
                    requested = True
                    until = began + queue.policy.request_limit_us / MICROS_PER_SECOND
                    await self._request(transition.delivery, effect, queue, until)
                elif isinstance(effect, LookUp):
                    requested = True
                    await self._look_up(transition.delivery, effect, queue)
        finally:
            if not requested:
                queue.throttle.not_used()

    def _asked(self, delivery: Delivery, follow_up: str, queue: PortalQueue) -> Delivery:
        """The delivery as the portal's client is to see it."""
        if follow_up:
            return follow_up_view(delivery, follow_up, self._plan)
        return self._plan.with_batch_step(delivery) if queue.backlogged else delivery

    async def prepare(self, delivery: Delivery, follow_up: str, queue: PortalQueue, preparer: Preparer) -> None:
        """Take the local step of a follow-up that is due, beside whatever else goes on for the call."""
        view = follow_up_view(delivery, follow_up, self._plan)
        answer = await preparer.prepare(view, self._states.result_of(delivery))
        await self._follow_up(delivery, Prepared(utc_now_us(), follow_up, answer, random.random()), queue)

    async def _request(self, delivery: Delivery, send: Send, queue: PortalQueue, until: BootSeconds) -> None:
        asked = follow_up_view(delivery, send.follow_up, self._plan) if send.follow_up else delivery
        pauses, answer = queue.throttle.pauses, await self._send(asked, queue, until)
        self._update_portal(queue, answer, pauses)
        answered = Answered(utc_now_us(), send.attempt, answer, random.random(), send.follow_up)
        await self._follow_up(delivery, answered, queue)

    async def _send(self, delivery: Delivery, queue: PortalQueue, until: BootSeconds) -> Answer:
        """Send, unless the portal was disabled by the answer to an earlier request."""
        if queue.throttle.disabled:
            return NotSent(f"its portal is disabled: {queue.throttle.pause_reason}")
        return await queue.client.send(delivery, until)

    async def _look_up(self, delivery: Delivery, look_up: LookUp, queue: PortalQueue) -> None:
        until = boot_seconds() + LOOKUP_REQUESTS * queue.policy.request_limit_us / MICROS_PER_SECOND
        asked = follow_up_view(delivery, look_up.follow_up, self._plan) if look_up.follow_up else delivery
        pauses, result = queue.throttle.pauses, await queue.client.look_up(asked, until)
        self._update_portal(queue, result, pauses)
        looked_up = LookedUp(utc_now_us(), look_up.attempt, result, random.random(), look_up.follow_up)
        await self._follow_up(delivery, looked_up, queue)

    async def _follow_up(self, delivery: Delivery, event: Event, queue: PortalQueue) -> None:
        """Apply the outcome to the state as it is now, if no command ended the delivery meanwhile."""
        if (latest := self._states.open.get(delivery.call_id)) is not None:
            await self.apply(latest, event, queue)

    async def apply(self, delivery: Delivery, event: Event, queue: PortalQueue) -> Transition:
        """Advance the machine by one event: dead letters first, then the state, both durable on return."""
        transition = advance(delivery, event, self._plan, queue.policy)
        letters = [effect for effect in transition.effects if isinstance(effect, DeadLetter)]
        for letter in letters:
            await self._escalation.send_to_dead_letters(transition.delivery, letter.reason, letter.why)
        if letters:
            # A version may have come meanwhile: the machine decides again, about the state as it is now.
            delivery = self._states.open.get(delivery.call_id, delivery)
            transition = advance(delivery, event, self._plan, queue.policy)
        if transition.delivery is not delivery:
            written = self._states.store(transition.delivery)
            _tell_ended(delivery, transition.delivery)
            # Whoever is cut off here must not take the future with it, which others wait for too.
            await asyncio.shield(written)
        for effect in transition.effects:
            if isinstance(effect, SlowPortal):
                queue.throttle.failed(event.now, effect.why, effect.until)
            elif isinstance(effect, PausePortal) and effect.for_good:
                await self._escalation.disable_portal(queue, effect.why)
            elif isinstance(effect, PausePortal):
                queue.throttle.pause(event.now, effect.why, rarely=effect.rarely)
        return transition

    def _update_portal(self, queue: PortalQueue, answer: Answer | LookupResult, pauses_before: int) -> None:
        """Update the portal's throttle from an answer; a slower or paused portal comes as an effect."""
        metrics.ANSWERS.labels(queue.portal.crm, queue.portal.name, metric_label(answer)).inc()
        if isinstance(answer, OutcomeUnknown):
            queue.throttle.failed(utc_now_us(), answer.why, answer.not_before)
        elif isinstance(answer, PortalBlocked) and answer.for_good:
            # At once; that no restart forgets it comes after the call's own state.
            queue.throttle.disable(answer.why)
        elif isinstance(answer, PortalBlocked) or (isinstance(answer, RetryLater) and answer.whole_portal):
            return
        elif queue.throttle.succeeded(pauses_before):
            queue.resume_paused()


def _tell_ended(before: Delivery, after: Delivery) -> None:
    """Count the follow-ups that have come to an end, and tell of one that a person may mend."""
    ended_before = {each.kind for each in before.follow_ups if each.ended}
    for each in after.follow_ups:
        if not each.ended or each.kind in ended_before:
            continue
        metrics.FOLLOW_UPS.labels(after.crm, after.portal, each.kind, each.state.value).inc()
        if each.state in (State.REFUSED, State.GIVEN_UP):
            _log.warning(
                "the call is in the CRM, what was to follow is not",
                call=after.call_id, portal=after.portal, what=each.kind, state=each.state.value, why=each.reason,
            )  # fmt: skip
